document.body.append(hatches());
document.documentElement.classList.add("live");
theme();
controls();
lanes();
strips();
stripRuler();
if (DATA.layers.length) {
  detailsCard();
  sources();
  travel();
  layerTable();
}
onSize.forEach((action) => action());
