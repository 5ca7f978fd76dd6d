// Comfort only: every page works without it. Everything is asked for by data attributes; docs/screens.md lists them.
(() => {
  "use strict";

  // data-tick-all="name": a checkbox that ticks all boxes of that name in its form or table.
  // data-picked="name": shows how many boxes of that name are ticked (its text keeps the words, data-picked-count the number).
  function boxes(origin, name) {
    const scope = origin.closest("form, table, main") || document;
    return [...scope.querySelectorAll(`input[type=checkbox][name="${CSS.escape(name)}"]:not(:disabled)`)];
  }

  function showPicked(scope) {
    for (const counter of scope.querySelectorAll("[data-picked]")) {
      const all = boxes(counter, counter.dataset.picked);
      const picked = all.filter((box) => box.checked).length;
      const place = counter.querySelector("[data-picked-count]") || counter;
      place.textContent = picked.toLocaleString();
      counter.closest(".picked")?.classList.toggle("some", picked > 0);
      for (const button of (counter.closest("form") || document).querySelectorAll("[data-needs-picked]")) {
        button.disabled = picked === 0;
      }
    }
    for (const tickAll of scope.querySelectorAll("[data-tick-all]")) {
      const all = boxes(tickAll, tickAll.dataset.tickAll);
      const picked = all.filter((box) => box.checked).length;
      tickAll.checked = all.length > 0 && picked === all.length;
      tickAll.indeterminate = picked > 0 && picked < all.length;
    }
  }

  document.addEventListener("change", (event) => {
    const target = event.target;
    if (target.matches("[data-tick-all]")) {
      for (const box of boxes(target, target.dataset.tickAll)) box.checked = target.checked;
    }
    if (target.matches("input[type=checkbox]")) showPicked(document);
    // data-submit-on-change: a select or box that sends its form at once.
    if (target.matches("[data-submit-on-change]")) target.form.requestSubmit();
    // data-shows="id": a box or radio that reveals the element while it is ticked; several may share one.
    if (target.matches("[type=radio], [type=checkbox]")) reveal();
  });

  function reveal() {
    const switchers = [...document.querySelectorAll("[data-shows]")];
    for (const id of new Set(switchers.map((switcher) => switcher.dataset.shows))) {
      const element = document.getElementById(id);
      if (element) element.hidden = !switchers.some((switcher) => switcher.dataset.shows === id && switcher.checked);
    }
  }

  // data-insert="{{ 姓 }}" with data-insert-into="id_text_body" (on the button or around it): inserts at the cursor.
  // data-insert-targets="id_subject id_text_body": the one last used wins, the first by default.
  let lastField = null;
  document.addEventListener("focusin", (event) => {
    if (event.target.matches("textarea, input[type=text]")) lastField = event.target;
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-insert]");
    if (button) {
      const ids = (button.closest("[data-insert-into]")?.dataset.insertInto || "").split(/\s+/).filter(Boolean);
      const field = ids.includes(lastField?.id) ? lastField : document.getElementById(ids[0]);
      if (!field) return;
      event.preventDefault();
      field.setRangeText(button.dataset.insert, field.selectionStart, field.selectionEnd, "end");
      field.focus();
      field.dispatchEvent(new Event("input", { bubbles: true }));
      return;
    }
    // data-copy="text": copies it and says so (data-copied).
    const copier = event.target.closest("[data-copy]");
    if (copier && navigator.clipboard) {
      navigator.clipboard.writeText(copier.dataset.copy).then(() => {
        if (copier.dataset.copied) copier.textContent = copier.dataset.copied;
      });
    }
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
    if (!event.target.closest("[role=search]")) closeSuggestions();
  });

  function closeSuggestions() {
    document.getElementById("suggestions")?.replaceChildren();
  }
  document.addEventListener("keydown", (event) => {
    // Suggestions of the search box: arrows walk through them, Escape closes them.
    const search = event.target.closest(".top [role=search]");
    if (search && ["ArrowDown", "ArrowUp"].includes(event.key)) {
      const stops = [search.querySelector("input"), ...search.querySelectorAll(".found a")];
      const next = stops[stops.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1)];
      if (next) {
        event.preventDefault();
        next.focus();
      }
    }
    if (event.key === "Escape") {
      closeSuggestions();
      for (const menu of document.querySelectorAll("details.menu[open]")) {
        menu.open = false;
        menu.querySelector("summary").focus();
      }
    }
    // "/" goes to the search box, unless somebody is writing.
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.target.matches("input, textarea, select")) {
      const search = document.querySelector("[role=search] input");
      if (search) {
        event.preventDefault();
        search.focus();
      }
    }
  });

  // A form is sent once: a second click or Enter is swallowed. Forms that answer with a download say data-again.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post" || form.hasAttribute("data-again") || form.matches("[hx-post]")) return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "1";
    for (const button of form.querySelectorAll("button:not([type=button])")) button.setAttribute("aria-busy", "true");
    // Only after the form's data were gathered, or the clicked button's name would be missing.
    setTimeout(() => {
      for (const button of form.querySelectorAll("button:not([type=button])")) button.setAttribute("aria-disabled", "true");
    }, 0);
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) {
      delete form.dataset.sent;
      for (const button of form.querySelectorAll("[aria-busy]")) {
        button.removeAttribute("aria-busy");
        button.removeAttribute("aria-disabled");
      }
    }
    showPicked(document);
    reveal();
  });

  document.addEventListener("htmx:afterSettle", () => {
    showPicked(document);
    reveal();
  });

  // data-print: prints the page. Without JavaScript the button is not there; the browser's menu prints as well.
  for (const button of document.querySelectorAll("[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => window.print());
  }

  for (const current of document.querySelectorAll(".tabs [aria-current], .side [aria-current]")) {
    const strip = current.parentElement;
    if (strip.scrollWidth > strip.clientWidth) strip.scrollLeft = current.offsetLeft - strip.clientWidth / 2 + current.clientWidth / 2;
  }
  showPicked(document);
  reveal();
})();
