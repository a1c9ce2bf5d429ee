(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const data = read("page-data");
  const at = (id) => document.getElementById(id);

  const distinct = (values) => [...new Set(values)];
  const percent = (share) => (100 * share).toFixed(1);
  const armOf = (item) => (recipes.length > 1 ? `${item.arm} (${item.recipe})` : item.arm);
  const recipes = distinct([...data.galleries, ...data.maps, ...data.errors].map((item) => item.recipe));

  function fill(select, values, words = (value) => value) {
    const before = select.value;
    select.replaceChildren(...values.map((value) => {
      const option = make("option", {}, words(value));
      option.value = value;
      return option;
    }));
    if (values.includes(before)) select.value = before;
  }
  function shownModalities() {
    return distinct(data.videos.flatMap((video) => Object.keys(video.clips)));
  }

  function clipOf(number, modality) {
    const has = data.videos[number].clips;
    return modality in has ? has[modality] : Object.values(has)[0];
  }
  function player(number, modality) {
    const video = data.videos[number];
    const clip = clipOf(number, modality);
    const words = `${video.name}${video.class_name ? `, class ${video.class_name}` : ""}`;
    if (clip === undefined) {
      return make("div", { class: "clip" }, make("span", { class: "none" }, "no clip of this video"));
    }
    return clipButton(clip, words);
  }
  function tile(number, modality, kind, ...lines) {
    const video = data.videos[number];
    return make("figure", { class: `tile ${kind}` }, player(number, modality),
      make("figcaption", {}, ...lines.map((line) => make("div", {}, line)), make("div", {}, video.class_name || "class unknown"), make("div", { class: "how" }, video.name)));
  }
  const mark = (right) => make("span", { class: "mark" }, right ? "✓ right" : "✗ wrong");

  // ---- retrieval ------------------------------------------------------------------------------------------
  function gallery() {
    const arms = distinct(data.galleries.map(armOf));
    const select = Object.fromEntries(["arm", "beside", "modality", "class", "right", "clips"].map((name) => [name, at(`g-${name}`)]));
    let most = 12;
    fill(select.arm, arms);
    select.arm.value = arms[arms.length - 1];
    fill(select.beside, ["", ...arms], (name) => name || "no other arm");
    fill(select.clips, shownModalities());
    const of = (arm) => data.galleries.find((one) => armOf(one) === arm && one.modality === select.modality.value);
    function refill() {
      const first = !select.modality.value;
      const groups = distinct(data.galleries.filter((one) => armOf(one) === select.arm.value).map((one) => one.modality));
      fill(select.modality, groups);
      if (first) select.modality.value = groups[groups.length - 1];
      const shown = of(select.arm.value);
      fill(select.class, ["", ...distinct(shown.results.map((result) => result.class_name)).sort()], (name) => name || "all classes");
    }
    function line(arm, result) {
      const row = make("div", { class: "query-row" }, tile(result.video, select.clips.value, "query", make("span", { class: "mark" }, "query")));
      for (const found of result.neighbours) {
        row.append(tile(found.video, select.clips.value, found.right ? "right" : "wrong", mark(found.right), `cosine ${found.similarity.toFixed(2)}`));
      }
      return arm ? [make("p", { class: "arm-name" }, arm), row] : [row];
    }
    function show() {
      const shown = of(select.arm.value);
      const beside = select.beside.value && select.beside.value !== select.arm.value ? of(select.beside.value) : undefined;
      const wanted = shown.results.filter((result) => (!select.class.value || result.class_name === select.class.value)
        && (!select.right.value || (result.neighbours[0].right ? "right" : "wrong") === select.right.value));
      at("g-list").replaceChildren(...wanted.slice(0, most).flatMap((result) => {
        const other = beside?.results.find((one) => one.video === result.video);
        return other ? [...line(select.arm.value, result), ...line(select.beside.value, other)] : line("", result);
      }));
      const right = wanted.filter((result) => result.neighbours[0].right).length;
      const all = `${percent(shown.recall)} % of all ${shown.queries} test videos have a nearest video of their class (R@1).`;
      at("g-count").textContent = `${all} Shown: ${wanted.length} of ${shown.results.length} queries on this page, ${right} of them with a nearest video of their class.`;
      at("g-more").hidden = wanted.length <= most;
    }
    const renew = () => { most = 12; refill(); show(); };
    select.modality.addEventListener("change", () => {
      if (shownModalities().includes(select.modality.value)) select.clips.value = select.modality.value;
    });
    for (const one of Object.values(select)) one.addEventListener("change", renew);
    at("g-more").addEventListener("click", () => { most += 12; show(); });
    renew();
  }

  // ---- errors ---------------------------------------------------------------------------------------------
  function errors() {
    const arms = distinct(data.errors.map(armOf));
    const [arm, modality, kind] = ["e-arm", "e-modality", "e-clips"].map(at);
    fill(arm, arms);
    arm.value = arms[arms.length - 1];
    fill(kind, shownModalities());
    const byClass = (one) => new Map(one.classes.map((name, row) => {
      const all = one.confusion[row].reduce((sum, count) => sum + count, 0);
      return [name, { right: one.confusion[row][row], all }];
    }));
    function classTable(all) {
      const counted = all.map(byClass);
      const names = distinct(counted.flatMap((one) => [...one.keys()])).filter((name) => counted.some((one) => one.get(name)?.all));
      const share = (one, name) => { const found = one.get(name); return found?.all ? found.right / found.all : undefined; };
      const spread = (name) => { const shares = counted.map((one) => share(one, name)).filter((value) => value !== undefined); return Math.max(...shares) - Math.min(...shares); };
      names.sort((one, other) => spread(other) - spread(one) || one.localeCompare(other));
      const head = make("tr", {}, make("th", { scope: "col" }, "class"), ...all.map((one) => make("th", { scope: "col", class: "n" }, armOf(one))), make("th", { scope: "col", class: "n" }, "videos"));
      const rows = names.map((name) => make("tr", {}, make("th", { scope: "row" }, name), ...counted.map((one) => {
        const value = share(one, name);
        return make("td", { class: "n" }, value === undefined ? "–" : percent(value));
      }), make("td", { class: "n" }, String(Math.max(...counted.map((one) => one.get(name)?.all ?? 0))))));
      return make("table", {}, make("caption", {}, "Per cent of the class's test videos"), make("thead", {}, head), make("tbody", {}, ...rows));
    }
    function matrix(one) {
      const largest = one.confusion.map((row) => Math.max(1, row.reduce((sum, count) => sum + count, 0)));
      if (one.classes.length > 40) return pairs(one);
      const head = make("tr", {}, make("th", { scope: "col" }, "true class"), ...one.classes.map((name) => make("th", { scope: "col", class: "n" }, name)));
      const rows = one.confusion.map((row, i) => make("tr", {}, make("th", { scope: "row" }, one.classes[i]), ...row.map((count, j) =>
        make("td", { class: `n shade${i === j ? " diagonal" : ""}`, style: `--share:${(count / largest[i]).toFixed(3)}` }, String(count)))));
      return make("table", {}, make("caption", {}, "Columns are the predicted classes"), make("thead", {}, head), make("tbody", {}, ...rows));
    }
    function pairs(one) {
      const found = one.confusion.flatMap((row, i) => row.map((count, j) => [count, i, j])).filter(([count, i, j]) => count && i !== j);
      found.sort((first, second) => second[0] - first[0]);
      return make("table", {}, make("caption", {}, `The pairs most often confused, of ${one.classes.length} classes`),
        make("thead", {}, make("tr", {}, ...["true class", "guess", "videos"].map((name) => make("th", { scope: "col" }, name)))),
        make("tbody", {}, ...found.slice(0, 40).map(([count, i, j]) => make("tr", {}, make("td", {}, one.classes[i]), make("td", {}, one.classes[j]), make("td", { class: "n" }, String(count))))));
    }
    function show() {
      const first = !modality.value;
      const groups = distinct(data.errors.filter((one) => armOf(one) === arm.value).map((one) => one.modality));
      fill(modality, groups);
      if (first) modality.value = groups[groups.length - 1];
      const chosen = data.errors.find((one) => armOf(one) === arm.value && one.modality === modality.value);
      at("e-classes").replaceChildren(classTable(data.errors.filter((one) => one.modality === modality.value)));
      at("e-matrix").replaceChildren(matrix(chosen));
      at("e-mistakes").replaceChildren(...chosen.mistakes.map((one) => tile(one.video, kind.value, "wrong", make("span", { class: "mark" }, "✗ wrong"), `predicted: ${one.predicted} (${percent(one.confidence)} %)`)));
      if (!chosen.mistakes.length) at("e-mistakes").append(make("p", {}, "No mistakes: all test videos are classified correctly."));
    }
    for (const one of [arm, modality, kind]) one.addEventListener("change", show);
    show();
  }

  // ---- map ------------------------------------------------------------------------------------------------
  const hue = (index, count) => (count <= 8 ? getComputedStyle(document.documentElement).getPropertyValue(`--c${index}`).trim()
    : `hsl(${(index * 137.5) % 360} 65% ${matchMedia("(prefers-color-scheme: dark)").matches ? 68 : 38}%)`);
  function map() {
    const arms = distinct(data.maps.map(armOf));
    const [arm, modality, colour, list, canvas, chosen] = ["m-arm", "m-modality", "m-colour", "m-video", "m-points", "m-chosen"].map(at);
    const pen = canvas.getContext("2d");
    let shown, marked = [], lasso = [], under = -1;
    fill(arm, arms);
    arm.value = arms[arms.length - 1];
    const place = ([x, y]) => [20 + x * (canvas.width - 40), 20 + (1 - y) * (canvas.height - 40)];
    const shape = (index) => index % 4;
    function draw() {
      const values = distinct(shown.videos.map((video) => data.videos[video][colour.value])).sort();
      pen.clearRect(0, 0, canvas.width, canvas.height);
      shown.points.forEach((point, i) => {
        const index = values.indexOf(data.videos[shown.videos[i]][colour.value]);
        dot(...place(point), shape(index), hue(index, values.length), 5);
      });
      pen.strokeStyle = getComputedStyle(document.body).color;
      pen.lineWidth = 2.5;
      for (const i of marked) { pen.beginPath(); pen.arc(...place(shown.points[i]), 10, 0, 7); pen.stroke(); }
      if (lasso.length > 1) { pen.beginPath(); lasso.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y))); pen.closePath(); pen.stroke(); }
      const few = values.length <= 40 ? values : values.slice(0, 40);
      at("m-legend").replaceChildren(...few.map((value, i) => {
        const key = make("canvas", { class: "key", width: 16, height: 16, style: "width:16px;height:16px", "aria-hidden": "true" });
        dot(8, 8, shape(i), hue(i, values.length), 6, key.getContext("2d"));
        return make("li", {}, key, ` ${value || "unknown"}`);
      }));
    }
    function dot(x, y, kind, paint, radius, context = pen) {
      context.fillStyle = paint;
      context.beginPath();
      if (kind === 0) context.arc(x, y, radius, 0, 7);
      else if (kind === 1) context.rect(x - radius, y - radius, 2 * radius, 2 * radius);
      else if (kind === 2) { context.moveTo(x, y - radius - 1); context.lineTo(x + radius + 1, y + radius); context.lineTo(x - radius - 1, y + radius); }
      else { context.moveTo(x, y - radius - 2); context.lineTo(x + radius + 2, y); context.lineTo(x, y + radius + 2); context.lineTo(x - radius - 2, y); }
      context.fill();
    }
    function describe(rows, title) {
      const clip = rows.length === 1 ? shownModalities()[0] : "";
      const parts = [make("h3", {}, title)];
      if (rows.length === 1) {
        const row = rows[0];
        const own = data.videos[shown.videos[row]];
        parts.push(make("div", { class: "tiles" }, tile(shown.videos[row], clip, "query", make("span", { class: "mark" }, own.split || "video"))),
          make("p", {}, "Its nearest neighbours in feature space:"),
          make("div", { class: "tiles", id: "m-neighbours" }, ...shown.neighbours[row].map((video) => {
            const right = data.videos[video].class_name === own.class_name;
            return tile(video, clip, right ? "right" : "wrong", mark(right));
          })));
      } else {
        const counts = new Map();
        for (const row of rows) { const name = data.videos[shown.videos[row]].class_name || "unknown"; counts.set(name, (counts.get(name) ?? 0) + 1); }
        parts.push(make("ul", {}, ...[...counts].sort((one, other) => other[1] - one[1]).map(([name, count]) => make("li", {}, `${name}: ${count}`))),
          make("div", { class: "tiles" }, ...rows.slice(0, 24).map((row) => tile(shown.videos[row], clip, "query"))));
      }
      chosen.replaceChildren(...parts);
    }
    function choose(rows, title) {
      marked = rows;
      draw();
      if (rows.length) describe(rows, title);
      else chosen.replaceChildren(make("p", {}, "No video is chosen."));
    }
    function where(event) {
      const box = canvas.getBoundingClientRect();
      return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
    }
    function nearest([x, y]) {
      let best = -1, least = 24 ** 2;
      shown.points.forEach((point, i) => {
        const [px, py] = place(point);
        const distance = (px - x) ** 2 + (py - y) ** 2;
        if (distance < least) { least = distance; best = i; }
      });
      return best;
    }
    function inside([x, y]) {
      let within = false;
      for (let i = 0, j = lasso.length - 1; i < lasso.length; j = i++) {
        const [xi, yi] = lasso[i], [xj, yj] = lasso[j];
        if ((yi > y) !== (yj > y) && x < (xj - xi) * (y - yi) / (yj - yi) + xi) within = !within;
      }
      return within;
    }
    canvas.addEventListener("pointerdown", (event) => { lasso = [where(event)]; canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointermove", (event) => {
      if (lasso.length) { lasso.push(where(event)); if (lasso.length > 4) draw(); return; }
      const row = nearest(where(event));
      if (row === under) return;
      under = row;
      canvas.title = row < 0 ? "" : `${data.videos[shown.videos[row]].name} (${data.videos[shown.videos[row]].class_name || "class unknown"})`;
      if (row >= 0 && !marked.length) describe([row], data.videos[shown.videos[row]].name);
    });
    canvas.addEventListener("pointerup", (event) => {
      const [x, y] = where(event);
      const far = lasso.some(([px, py]) => Math.hypot(px - x, py - y) > 12);
      const rows = far ? shown.points.flatMap((point, i) => (inside(place(point)) ? [i] : [])) : [nearest([x, y])].filter((row) => row >= 0);
      lasso = [];
      list.value = rows.length === 1 ? String(rows[0]) : "";
      choose(rows, rows.length === 1 ? data.videos[shown.videos[rows[0]]].name : `${rows.length} videos`);
    });
    list.addEventListener("change", () => {
      const row = Number(list.value);
      choose(list.value === "" ? [] : [row], list.value === "" ? "" : data.videos[shown.videos[row]].name);
    });
    function show() {
      fill(modality, distinct(data.maps.filter((one) => armOf(one) === arm.value).map((one) => one.modality)));
      shown = data.maps.find((one) => armOf(one) === arm.value && one.modality === modality.value);
      const order = shown.videos.map((video, row) => row).sort((one, other) => data.videos[shown.videos[one]].name.localeCompare(data.videos[shown.videos[other]].name));
      list.value = "";
      fill(list, ["", ...order.map(String)], (row) => (row === "" ? "choose by name" : data.videos[shown.videos[Number(row)]].name));
      at("m-note").textContent = shown.kept === null ? `${shown.points.length} videos by UMAP: distances between groups have little meaning.`
        : `${shown.points.length} videos along the two directions of most variance (PCA), which explain ${percent(shown.kept)} % of it.`;
      choose([], "");
    }
    arm.addEventListener("change", show);
    modality.addEventListener("change", show);
    colour.addEventListener("change", draw);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    show();
  }

  // ---- boxes that hide lines of tables and charts ---------------------------------------------------------
  function filterBoxes(fieldset, lines) {
    const boxes = [...document.querySelectorAll(`${fieldset} input`)];
    const show = () => {
      const off = new Set(boxes.filter((box) => !box.checked).map((box) => `${box.dataset.filter}:${box.value}`));
      for (const line of document.querySelectorAll(lines)) {
        line.classList.toggle("off", ["arm", "modality", "seed"].some((name) => off.has(`${name}:${line.dataset[name]}`)));
      }
    };
    for (const box of boxes) box.addEventListener("change", show);
  }

  if (data.galleries.length) gallery();
  if (data.errors.length) errors();
  if (data.maps.length) map();
  filterBoxes("#o-filters", "#overview tr[data-arm]");
  filterBoxes("#t-filters", "#training polyline[data-arm]");
})();
