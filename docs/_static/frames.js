// A frame of the playground is as high as the page inside.
"use strict";
for (const frame of document.querySelectorAll("iframe.playground")) {
  frame.addEventListener("load", () => {
    const inside = frame.contentDocument?.documentElement;
    if (!inside) return;  // a page that was opened as a file may not look inside
    const fit = () => { frame.style.height = `${inside.querySelector("body").scrollHeight + 20}px`; };
    new ResizeObserver(fit).observe(inside.querySelector("body"));
    fit();
  });
}
