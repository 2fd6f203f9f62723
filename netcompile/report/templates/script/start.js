document.body.append(hatches());
document.documentElement.classList.add("live");
theme();
controls();
if (has("alignment")) {
  lanes();
  strips();
  stripRuler();
}
if (DATA.layers.length && has("graph")) {
  detailsCard();
  if (!PART) sources();
  travel();
}
if (DATA.layers.length && has("layers")) layerTable();
if (PART) toldAround();
onSize.forEach((action) => action());
