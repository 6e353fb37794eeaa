"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const payload = JSON.parse($("#payload").textContent);
  const tip = $("#tip");

  const say = (text, x, y) => {
    tip.textContent = text;
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, x + 14), innerWidth - width - 8);
    const top = y + 18 + height > innerHeight ? y - height - 12 : y + 18;
    tip.style.transform = `translate(${left}px,${Math.max(4, top)}px)`;
  };
  const hush = () => { tip.hidden = true; };
  const pointed = (event) => {
    const target = event.target.closest && event.target.closest("[data-tip]");
    if (target) say(target.dataset.tip, event.clientX, event.clientY);
    else if (!(event.target instanceof HTMLCanvasElement)) hush();
  };
  document.addEventListener("pointermove", pointed, { passive: true });
  document.addEventListener("pointerdown", pointed, { passive: true });
  document.addEventListener("scroll", hush, { passive: true });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hush(); });
  document.addEventListener("focusin", (event) => {
    if (!event.target.matches("[data-tip]")) return;
    const box = event.target.getBoundingClientRect();
    say(event.target.dataset.tip, box.left, box.bottom);
  });
  document.addEventListener("click", (event) => {
    const unit = event.target.closest && event.target.closest("[data-unit]");
    if (!unit) return;
    document.dispatchEvent(new CustomEvent("unit", { detail: unit.dataset.unit }));
    location.hash = `u-${unit.dataset.unit}`;
  });

  // Matrices: quantised values painted in the colours of the current theme.
  const matrices = new Map(payload.matrices.map((matrix) => [matrix.id, matrix]));
  const values = (matrix) => {
    matrix.bytes ??= Uint8Array.from(atob(matrix.values), (letter) => letter.charCodeAt(0));
    return matrix.bytes;
  };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const ramp = (kind) => {
    const steps = kind === "synergy" ? [11, 12, 13, 14, 15, 16, 17, 18, 19, 20] : [9, 8, 7, 6, 5, 4, 3, 2, 1, 0];
    const stops = ["paper", ...steps.map((step) => `r${step}`)].map((name) => {
      const hex = colour(name);
      return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    });
    return Array.from({ length: 256 }, (_, value) => {
      const place = (value / 255) * (stops.length - 1);
      const low = Math.min(Math.floor(place), stops.length - 2);
      return stops[low].map((channel, k) => channel + (place - low) * (stops[low + 1][k] - channel));
    });
  };
  const paint = (canvas) => {
    const matrix = matrices.get(canvas.dataset.source);
    if (!matrix || canvas.offsetParent === null) return;
    const { size } = matrix, table = ramp(matrix.ramp), bytes = values(matrix);
    const raw = Object.assign(document.createElement("canvas"), { width: size, height: size });
    const image = raw.getContext("2d").createImageData(size, size);
    for (let i = 0; i < bytes.length; i += 1) {
      const [red, green, blue] = table[bytes[i]];
      image.data.set([red, green, blue, 255], 4 * i);
    }
    raw.getContext("2d").putImageData(image, 0, 0);
    // Whole multiples keep every pair a sharp square.
    canvas.width = canvas.height = size * Math.max(1, Math.round(900 / size));
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(raw, 0, 0, canvas.width, canvas.height);
    canvas.dataset.painted = "yes";
  };
  const canvases = $$("canvas.matrix");
  const repaint = (all) => canvases.forEach((canvas) => { if (all || canvas.dataset.painted) paint(canvas); });
  const seen = new IntersectionObserver((entries) => {
    entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
      if (entry.target.matches("canvas")) paint(entry.target);
      else drawPlotly(entry.target);
      seen.unobserve(entry.target);
    });
  }, { rootMargin: "400px" });
  canvases.forEach((canvas) => {
    seen.observe(canvas);
    canvas.addEventListener("pointermove", (event) => {
      const matrix = matrices.get(canvas.dataset.source), box = canvas.getBoundingClientRect();
      const place = (at, from, span) => Math.min(matrix.size - 1, Math.max(0, Math.floor(((at - from) / span) * matrix.size)));
      const row = place(event.clientY, box.top, box.height), column = place(event.clientX, box.left, box.width);
      const value = (values(matrix)[row * matrix.size + column] / 255) * matrix.high;
      const pair = matrix.labels ? `${matrix.labels[row]} × ${matrix.labels[column]}` : `${row} × ${column}`;
      say(`${pair}\n${value.toPrecision(2)} ${matrix.units}`, event.clientX, event.clientY);
    });
    canvas.addEventListener("pointerleave", hush);
  });
  addEventListener("beforeprint", () => repaint(true));
  matchMedia("print").addEventListener("change", () => repaint(true));
  matchMedia("(max-width:37.5rem)").addEventListener("change", () => repaint(true));
  matchMedia("(prefers-color-scheme:dark)").addEventListener("change", () => repaint(false));
  document.addEventListener("theme", () => repaint(false));

  // Charts of other packages that only plotly.js can draw: unpacked when the first one comes into view.
  let library = null;
  const unpack = async () => {
    const packed = Uint8Array.from(atob($("#plotly").textContent.trim()), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const url = URL.createObjectURL(new Blob([await new Response(stream).text()], { type: "text/javascript" }));
    await new Promise((done, failed) => {
      const script = Object.assign(document.createElement("script"), { src: url, onload: done, onerror: failed });
      document.head.append(script);
    });
    URL.revokeObjectURL(url);
  };
  const drawPlotly = async (place) => {
    library ??= unpack();
    await library;
    const figure = JSON.parse(document.getElementById(place.dataset.figure).textContent);
    const ground = { paper_bgcolor: colour("paper"), plot_bgcolor: colour("paper"), font: { color: colour("ink") } };
    await window.Plotly.newPlot(place, { data: figure.data, layout: { ...figure.layout, ...ground }, frames: figure.frames, config: { displayModeBar: false, responsive: true } });
    place.dataset.painted = "yes";
  };
  $$(".plotly").forEach((place) => seen.observe(place));

  // Films: one slider shows one frame of its figure, in both of its drawings.
  $$(".film").forEach((film) => {
    const slider = $("input", film), names = JSON.parse(slider.dataset.names);
    film.hidden = false;
    slider.addEventListener("input", () => {
      $("output", film).textContent = names[slider.value];
      slider.setAttribute("aria-valuetext", names[slider.value]);
      $$(".frame", film.closest("figure")).forEach((frame) => { frame.style.display = frame.dataset.frame === slider.value ? "" : "none"; });
    });
  });

  // A figure as a file: variables become colours, classes become a small stylesheet, matrices become images.
  const save = (svg, name) => {
    const copy = svg.cloneNode(true);
    const box = svg.viewBox.baseVal;
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.removeAttribute("class");
    $$("canvas.matrix", svg.parentElement).forEach((canvas) => {
      paint(canvas);
      const image = document.createElementNS("http://www.w3.org/2000/svg", "image");
      const share = (edge) => parseFloat(canvas.style[edge]) / 100;
      image.setAttribute("href", canvas.toDataURL());
      image.setAttribute("preserveAspectRatio", "none");
      image.setAttribute("x", share("left") * box.width);
      image.setAttribute("y", share("top") * box.height);
      image.setAttribute("width", share("width") * box.width);
      image.setAttribute("height", share("height") * box.height);
      copy.append(image);
    });
    $$("text", copy).forEach((text, index) => {
      const look = getComputedStyle($$("text", svg)[index]);
      ["font-family", "font-size", "font-style", "font-weight", "fill"].forEach((key) => text.setAttribute(key, look.getPropertyValue(key)));
    });
    $$(".axis", copy).forEach((path) => Object.entries({ fill: "none", stroke: "var(--ink)", "stroke-width": ".8" }).forEach(([key, value]) => path.setAttribute(key, value)));
    $$(".column", copy).forEach((column) => column.remove());
    $$(".frame", copy).forEach((frame) => { if (frame.style.display === "none") frame.remove(); });
    const text = new XMLSerializer().serializeToString(copy).replace(/var\(--([\w-]+)\)/g, (_, key) => colour(key));
    document.dispatchEvent(new CustomEvent("download", { detail: { text, name: `${name}.svg`, type: "image/svg+xml" } }));
  };
  $$("[data-save]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => {
      const figure = button.closest("figure");
      const shown = $$("svg.drawing,svg.cortex", figure).find((svg) => svg.getBoundingClientRect().width > 0);
      if (shown) save(shown, button.dataset.save);
    });
  });
})();
