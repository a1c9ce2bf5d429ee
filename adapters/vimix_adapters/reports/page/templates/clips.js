"use strict";
const clips = JSON.parse(document.getElementById("page-clips").textContent);

// ---- small tools: elements with text, never with markup -------------------------------------------------
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// ---- clips: a still picture on a canvas, and the animation while it plays --------------------------------
const addresses = new Map();
function address(clip) {
  if (!addresses.has(clip)) {
    const bytes = Uint8Array.from(atob(clips[clip]), (letter) => letter.charCodeAt(0));
    addresses.set(clip, URL.createObjectURL(new Blob([bytes], { type: "image/webp" })));
  }
  return addresses.get(clip);
}
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    watcher.unobserve(entry.target);
    drawStill(entry.target);
  }
}, { rootMargin: "300px" });
function drawStill(canvas) {
  const picture = new Image();
  picture.onload = () => {
    canvas.width = picture.naturalWidth;
    canvas.height = picture.naturalHeight;
    canvas.getContext("2d").drawImage(picture, 0, 0);
    canvas.dataset.drawn = "yes";
  };
  picture.src = address(Number(canvas.dataset.clip));
}
// A button that plays a clip while it is pointed at, or from one press to the next.
function clipButton(clip, words) {
  const canvas = make("canvas", { "data-clip": clip, width: 4, height: 3, "aria-hidden": "true" });
  const button = make("button", { class: "clip", type: "button", "aria-pressed": "false", "aria-label": `Play ${words}` }, canvas);
  const play = () => {
    if (button.querySelector("img")) return;
    const moving = make("img", { alt: "" });
    moving.src = address(clip);
    button.append(moving);
    button.setAttribute("aria-pressed", "true");
  };
  const stop = () => {
    button.querySelector("img")?.remove();
    button.setAttribute("aria-pressed", "false");
    delete button.dataset.held;
  };
  button.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") play(); });
  button.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse" && !button.dataset.held) stop(); });
  button.addEventListener("click", () => {
    if (button.dataset.held) { stop(); return; }
    play();
    button.dataset.held = "yes";
  });
  watcher.observe(canvas);
  return button;
}
