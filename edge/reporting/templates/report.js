"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const number = (n) => n.toLocaleString("en-US");
  const size = (shape) => shape.map(number).join(" × ");

  const element = (name, properties, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };

  // The index of the last edge that is not beyond x.
  const momentAt = (edges, x) => {
    let low = 0;
    let high = edges.length - 2;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (edges[middle] <= x) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  };

  const spanAt = (box, moment) => box.spans.find((span) => span[0] <= moment && moment <= span[1]);

  const what = (box, span) => {
    const words = size(box.shape);
    const [first, last] = [span[4], span[5] - 1];
    const rows = first === last ? `row ${first}` : `rows ${first} to ${last}`;
    if (box.kind === "new row") {
      return `${words}: new ${rows}, beside its ring`;
    }
    if (box.kind === "ring") {
      return `${words}: ${rows}, in a ring`;
    }
    if (box.kind === "whole" && last - first + 1 < box.height) {
      return `${words}: ${rows}`;
    }
    return words;
  };

  const show = (view, root, moment) => {
    const [operator, row, alive, top] = view.moments[moment];
    const title = `Operator ${operator}, ${data.operators[operator]}`;
    const where = (row === null ? "" : `, row ${row}`) + (moment === view.peak ? ": the peak" : "");
    const sums = `${number(alive)} bytes alive, up to byte ${number(top)}`;
    root.querySelector(".moment").replaceChildren(element("b", { textContent: title }), where);
    root.querySelector(".sums").textContent = sums;
    const found = [];
    const paths = root.querySelectorAll(".box");
    view.boxes.forEach((box, n) => {
      const span = spanAt(box, moment);
      paths[n].classList.toggle("on", span !== undefined);
      if (span !== undefined) {
        found.push([box, span]);
      }
    });
    found.sort((a, b) => b[1][3] - b[1][2] - (a[1][3] - a[1][2]));
    root.querySelector(".alive tbody").replaceChildren(
      ...found.map(([box, span]) =>
        element(
          "tr",
          {},
          element(
            "td",
            {},
            element(
              "div",
              { className: "what" },
              element("i", { className: `swatch c${box.color}` }),
              element(
                "div",
                {},
                element("bdi", { textContent: box.name }),
                " ",
                element("small", { textContent: what(box, span) }),
              ),
            ),
          ),
          element("td", { className: "n", textContent: number(span[3] - span[2]) }),
          element("td", { className: "n", textContent: number(span[2]) }),
        ),
      ),
    );
    const cursor = root.querySelector(".cursor");
    cursor.setAttribute("x", view.edges[moment] * 1000);
    cursor.setAttribute("width", (view.edges[moment + 1] - view.edges[moment]) * 1000);
    const range = root.querySelector("input[type=range]");
    range.value = moment;
    range.setAttribute("aria-valuetext", `${title}${where}; ${sums}`);
  };

  const start = (id, view) => {
    const root = document.getElementById(`view-${id}`);
    const canvas = root.querySelector(".canvas");
    const range = root.querySelector("input[type=range]");
    const go = (moment) =>
      show(view, root, Math.min(Math.max(moment, 0), view.moments.length - 1));
    const point = (event) => {
      const place = canvas.getBoundingClientRect();
      go(momentAt(view.edges, (event.clientX - place.left) / place.width));
    };
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("pointerdown", point);
    range.addEventListener("input", () => go(Number(range.value)));
    for (const button of root.querySelectorAll(".step")) {
      button.addEventListener("click", () => go(Number(range.value) + Number(button.dataset.step)));
    }
    root.querySelector(".to-peak").addEventListener("click", () => go(view.peak));
    root.querySelector(".controls").hidden = false;
    go(view.peak);
  };

  document.documentElement.classList.add("js");
  for (const [id, view] of Object.entries(data.views)) {
    start(id, view);
  }
  const radios = document.querySelectorAll(".switch input");
  const choose = () => {
    for (const radio of radios) {
      document.getElementById(`view-${radio.value}`).hidden = !radio.checked;
    }
  };
  for (const radio of radios) {
    radio.addEventListener("change", choose);
  }
  document.querySelector(".switch").hidden = radios.length < 2;
  choose();
})();
