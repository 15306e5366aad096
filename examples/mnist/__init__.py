"""Every method of gdmethods trains the same network on the same images, side by side."""
