// Names beside the points of a figure, so that none covers another.

const LETTER = 6.1; // pixels of a letter, about
const LINE = 13; // pixels of a line

/**
 * Rows with dx and dy of their names, or no name where there is no room. at: (row) => [x, y] in pixels from the upper
 * left; width: of the plot. Names stand to the right or left, at most little more than a line away, so that none looks like another point's.
 */
function placedNames(rows, at, width) {
  const taken = rows.map((row) => around(...at(row), 5, 5));
  const names = [...rows].filter((row) => row.name).sort((a, b) => at(a)[1] - at(b)[1]);
  const found = new Map();
  for (const row of names) {
    const [x, y] = at(row);
    const size = LETTER * row.name.length;
    const places = [0, 0.7, -0.7, 1.2, -1.2].flatMap((step) => [
      [9, step * LINE],
      [-9 - size, step * LINE],
    ]);
    const free = places.find(([dx, dy]) => {
      const box = [x + dx, y + dy - LINE / 2, x + dx + size, y + dy + LINE / 2];
      return box[0] >= 0 && box[2] <= width + 20 && box[1] >= -5 && !taken.some((other) => overlap(box, other));
    });
    if (free) taken.push([x + free[0], y + free[1] - LINE / 2, x + free[0] + size, y + free[1] + LINE / 2]);
    found.set(row, free);
  }
  return rows.map((row) => {
    const place = found.get(row);
    return { ...row, name: place ? row.name : "", dx: place?.[0] ?? 0, dy: place?.[1] ?? 0 };
  });
}

const around = (x, y, w, h) => [x - w, y - h, x + w, y + h];
const overlap = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

/** Offsets that keep names in one margin a line apart, in the order of their heights (pixels from above). */
function spreadApart(heights) {
  const order = heights.map((_, i) => i).sort((i, j) => heights[i] - heights[j]);
  const placed = order.map((i) => heights[i]);
  for (let turn = 0; turn < 200; turn++) {
    let moved = false;
    for (let k = 1; k < placed.length; k++) {
      const lack = LINE - (placed[k] - placed[k - 1]);
      if (lack <= 0.01) continue;
      placed[k - 1] -= lack / 2;
      placed[k] += lack / 2;
      moved = true;
    }
    if (!moved) break;
  }
  const offsets = new Array(heights.length);
  order.forEach((i, k) => (offsets[i] = placed[k] - heights[i]));
  return offsets;
}
