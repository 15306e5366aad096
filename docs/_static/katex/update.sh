#!/bin/sh
# The style sheet and fonts of the KaTeX that the installed sphinxcontrib.katex brings. Takes npm.
set -e
cd "$(dirname "$0")"
version=$(python -c "import sphinxcontrib.katex as k; print(k.katex_version)")
npm pack "katex@$version"
tar xzf "katex-$version.tgz" package/dist package/LICENSE
rm -f fonts/*
cp package/dist/fonts/*.woff2 fonts/
cp package/LICENSE .
sed -E 's/,url\([^)]*\.(woff|ttf)\) format\("(woff|truetype)"\)//g' package/dist/katex.min.css > katex.min.css
rm -r package "katex-$version.tgz"
