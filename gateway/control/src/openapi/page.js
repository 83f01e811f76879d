"use strict";
// Shows the routes that have every word of the search in them and that a role may use. Without it the page shows all.
(() => {
  const words = document.getElementById("words");
  const role = document.getElementById("role");
  const none = document.getElementById("none");
  const ranks = { open: 0, user: 1, operator: 2, admin: 3 };
  const routes = [...document.querySelectorAll("details[data-find]")];
  const sections = [...document.querySelectorAll("section[data-tag]")];
  const show = () => {
    const asked = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const most = ranks[role.value] ?? 3;
    for (const route of routes) {
      const found = asked.every((word) => route.dataset.find.includes(word));
      route.hidden = !found || (ranks[route.dataset.role] ?? 0) > most;
    }
    for (const section of sections) {
      section.hidden = !section.querySelector("details[data-find]:not([hidden])");
    }
    none.hidden = sections.some((section) => !section.hidden);
  };
  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target instanceof HTMLDetailsElement) {
      target.open = true;
      target.scrollIntoView();
    }
  };
  document.getElementById("filter").hidden = false;
  document.getElementById("filter").addEventListener("submit", (event) => event.preventDefault());
  words.addEventListener("input", show);
  role.addEventListener("change", show);
  addEventListener("hashchange", open);
  open();
})();
