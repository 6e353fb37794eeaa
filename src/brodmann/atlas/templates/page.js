(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

  const download = (text, name, type) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name.replace(/[^\w.-]+/g, "-");
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  document.addEventListener("download", ({ detail }) => download(detail.text, detail.name, detail.type));

  // Table of units: sort, search, filter, download. An atlas of weights has none.
  if ($("#unit-table")) {
    const table = $("#unit-table"), body = table.tBodies[0], rows = [...body.rows];
    const find = $("#find"), layer = $("#layer"), core = $("#core-only"), count = $("#count");
    $("#tools").hidden = false;
    $("#tools").addEventListener("submit", (event) => event.preventDefault());
    const filter = () => {
      const wanted = find.value.trim().toLowerCase();
      let shown = 0;
      rows.forEach((row) => {
        const keep = row.id.slice(2).toLowerCase().includes(wanted)
          && (!layer.value || row.dataset.layer === layer.value) && (!core.checked || "core" in row.dataset);
        row.hidden = !keep;
        shown += keep;
      });
      count.textContent = shown === rows.length ? `${shown.toLocaleString("en")} units` : `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} units`;
    };
    [find, layer, core].forEach((control) => control.addEventListener("input", filter));
    const order = (column, direction) => {
      const key = (row) => row.cells[column].dataset.v;
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        return direction * (column === 0 ? x.localeCompare(y, "en", { numeric: true }) : Number(x) - Number(y));
      };
      body.append(...rows.sort(compare));
      $$("th", table.tHead).forEach((head, at) => {
        if (at === column) head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
        else head.removeAttribute("aria-sort");
      });
    };
    $$(".sort", table).forEach((button) => button.addEventListener("click", () => {
      const head = button.closest("th"), column = Number(button.dataset.column);
      const up = head.getAttribute("aria-sort") === "descending" || (!head.hasAttribute("aria-sort") && column < 2);
      order(column, up ? 1 : -1);
    }));
    const quote = (text) => (/[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
    $("#csv").addEventListener("click", (event) => {
      const heads = $$(".sort", table).map((button) => quote(button.textContent));
      const lines = [...body.rows].filter((row) => !row.hidden).map((row) => [...row.cells].map((cell) => quote(cell.dataset.v)).join(","));
      download([heads.join(","), ...lines].join("\n") + "\n", `${event.currentTarget.dataset.name}.csv`, "text/csv");
    });
    // A link to a unit's row must find it even where the filters hide it.
    const reveal = (name) => {
      const row = document.getElementById(`u-${name}`);
      if (!row) return;
      if (row.hidden) { find.value = ""; layer.value = ""; core.checked = false; filter(); }
      requestAnimationFrame(() => row.scrollIntoView({ block: "center" }));
    };
    document.addEventListener("unit", ({ detail }) => reveal(detail));
    addEventListener("hashchange", () => { if (location.hash.startsWith("#u-")) reveal(decodeURIComponent(location.hash.slice(3))); });
  }

  // The grid is one stop of the tab key; arrows move inside it.
  const grid = $(".grid");
  grid?.addEventListener("keydown", (event) => {
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    const cell = event.target.closest("td");
    if (!step || !cell) return;
    event.preventDefault();
    const row = grid.rows[cell.parentElement.rowIndex + step[0]];
    const next = row && row.cells[cell.cellIndex + step[1]] && $("a", row.cells[cell.cellIndex + step[1]]);
    if (!next) return;
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });

  $$(".copy").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy), before = button.textContent;
      try {
        await navigator.clipboard.writeText(source.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(source);
        button.textContent = "Selected: copy with the keyboard";
      }
      setTimeout(() => { button.textContent = before; }, 2500);
    });
  });

  // Paper cannot be unfolded.
  const folded = () => $$("details:not([open])");
  let opened = [];
  addEventListener("beforeprint", () => { opened = folded(); opened.forEach((fold) => { fold.open = true; }); });
  addEventListener("afterprint", () => opened.forEach((fold) => { fold.open = false; }));

  // Theme: as the system, dark, light. Some browsers refuse storage to files.
  const themes = ["", "dark", "light"], button = $("#theme");
  const remember = (value) => { try { if (value === undefined) return localStorage.getItem("brodmann-theme") || ""; localStorage.setItem("brodmann-theme", value); } catch { /* refused */ } return ""; };
  const show = (theme) => {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    button.textContent = `Theme: ${theme || "as the system"}`;
    document.dispatchEvent(new Event("theme"));
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = themes[(themes.indexOf(document.documentElement.dataset.theme || "") + 1) % themes.length];
    remember(next);
    show(next);
  });
  const kept = remember();
  if (themes.includes(kept) && kept) show(kept);
})();
