// What Material's markup lacks for a keyboard and a screen reader (axe-core).

// A block of code or a table that scrolls within itself can be scrolled by keyboard.
function makeScrollable() {
  for (const part of document.querySelectorAll("pre > code, .md-typeset__scrollwrap"))
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
    else part.removeAttribute("tabindex");
}

// Two landmarks of one kind have names of their own.
function nameLandmarks() {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  for (const nav of document.querySelectorAll("nav.md-nav[aria-labelledby]")) {
    const title = nav.querySelector(":scope > .md-nav__title")?.textContent.trim();
    if (!title) continue;
    nav.setAttribute("aria-label", title);
    nav.removeAttribute("aria-labelledby");
  }
  // the buttons of a block of code, which Material adds when it comes into view, are no landmark
  for (const nav of document.querySelectorAll("nav.md-code__nav")) nav.setAttribute("role", "none");
}

// Markdown has no table without a head; a head without words is none.
function unheadTables() {
  for (const head of document.querySelectorAll(".md-typeset thead th"))
    if (!head.textContent.trim()) head.replaceWith(document.createElement("td"));
}

function mend() {
  makeScrollable();
  nameLandmarks();
}

document.addEventListener("DOMContentLoaded", () => {
  unheadTables();
  mend();
  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
});
addEventListener("load", mend);
addEventListener("resize", makeScrollable);
