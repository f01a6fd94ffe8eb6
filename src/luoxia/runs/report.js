"use strict";
// Three small things: the reading under the pointer of a chart, the scrubber of the samples, the copy button.

const numbers = (text) => text.split(" ").map(Number);
const spell = (value) => {
  const size = Math.abs(value);
  if (size && (size < 1e-3 || size >= 1e7)) return value.toExponential(2);
  return value.toLocaleString("en", { maximumSignificantDigits: size >= 1000 ? 7 : 4 });
};

function nearest(steps, step) {
  let low = 0;
  let high = steps.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (steps[middle] < step) low = middle;
    else high = middle;
  }
  return step - steps[low] < steps[high] - step ? low : high;
}

function element(tag, name, parent) {
  const made = parent.appendChild(document.createElement(tag));
  made.className = name;
  return made;
}

function readable(figure) {
  const plot = figure.querySelector(".plot");
  const [left, right] = numbers(figure.dataset.x);
  const [bottom, top] = numbers(figure.dataset.y);
  const scale = figure.dataset.log === "1" ? Math.log10 : (value) => value;
  const lines = [...figure.querySelectorAll("path[data-steps]")].map((path) => ({
    name: path.dataset.name,
    color: [...path.classList].find((one) => /^s\d$/.test(one)),
    steps: numbers(path.dataset.steps),
    values: numbers(path.dataset.values),
  }));
  const marks = [...figure.querySelectorAll(".mark")].map((mark) => [Number(mark.dataset.at), mark.dataset.label]);
  const cross = element("div", "cross", plot);
  const dots = lines.map((line) => element("i", `dot ${line.color}`, plot));
  const reading = element("output", "reading", plot);
  const longest = lines.reduce((a, b) => (b.steps.length > a.steps.length ? b : a));
  let at = longest.steps.length - 1;

  function show(index) {
    at = Math.max(0, Math.min(longest.steps.length - 1, index));
    const step = longest.steps[at];
    const across = (step - left) / (right - left);
    cross.style.left = `${100 * across}%`;
    reading.replaceChildren(`step ${step.toLocaleString("en")}`);
    lines.forEach((line, i) => {
      const near = nearest(line.steps, step);
      const up = (scale(line.values[near]) - scale(bottom)) / (scale(top) - scale(bottom));
      dots[i].style.left = `${(100 * (line.steps[near] - left)) / (right - left)}%`;
      dots[i].style.top = `${100 * (1 - up)}%`;
      const row = element("span", line.color, reading);
      row.textContent = `${line.name} ${spell(line.values[near])}`;
    });
    for (const [where, label] of marks) {
      if (Math.abs(where - step) < 0.01 * (right - left)) element("em", "", reading).textContent = label;
    }
    reading.classList.toggle("flip", across > 0.55);
    reading.style.left = `${100 * across}%`;
    plot.classList.add("reads");
  }
  const hide = () => plot.classList.remove("reads");

  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    show(nearest(longest.steps, left + ((event.clientX - box.left) / box.width) * (right - left)));
  });
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - 20, PageDown: at + 20, Home: 0, End: Infinity };
    if (event.key === "Escape") hide();
    if (!(event.key in moves)) return;
    event.preventDefault();
    show(moves[event.key]);
  });
}

function scrubber() {
  const range = document.getElementById("scrub");
  if (!range) return;
  const grid = document.getElementById("grid");
  const shown = document.getElementById("shown");
  const play = document.getElementById("play");
  const strip = document.querySelector(".thumbs");
  const thumbs = [...strip.querySelectorAll("button")];
  const newest = grid.src; // in full size
  let timer = 0;

  function show(index) {
    const thumb = thumbs[index];
    const last = index === thumbs.length - 1;
    grid.src = last ? newest : thumb.querySelector("img").src;
    grid.alt = `Grid of images generated at step ${thumb.dataset.step}`;
    shown.textContent = thumb.dataset.step;
    range.value = index;
    range.setAttribute("aria-valuetext", `step ${thumb.dataset.step}`);
    thumbs.forEach((one) => one.setAttribute("aria-current", one === thumb));
    strip.scrollLeft = thumb.offsetLeft - strip.offsetLeft - strip.clientWidth / 2; // on a phone it is one row
  }
  function stop() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
    play.setAttribute("aria-label", "Play");
  }
  function start() {
    let index = Number(range.value) === thumbs.length - 1 ? 0 : Number(range.value);
    show(index);
    timer = setInterval(() => {
      show(++index);
      if (index === thumbs.length - 1) stop();
    }, 350);
    play.textContent = "Pause";
    play.setAttribute("aria-label", "Pause");
  }

  show(thumbs.length - 1);
  range.addEventListener("input", () => { stop(); show(Number(range.value)); });
  thumbs.forEach((thumb, index) => thumb.addEventListener("click", () => { stop(); show(index); }));
  play.addEventListener("click", () => (timer ? stop() : start()));
}

function copier() {
  const button = document.getElementById("copy");
  if (!button) return;
  const text = document.getElementById("command");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(text); // without the right to copy, leave it to the keyboard
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 1600);
  });
}

document.querySelectorAll(".chart").forEach(readable);
scrubber();
copier();
