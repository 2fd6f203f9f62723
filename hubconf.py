"""torch.hub entry points: `torch.hub.load(REPOSITORY, "voc_fcn8s", weights="fcn8s-heavy-pascal.caffemodel")`.

One for each bundled net, and `net` for any prototxt. All give an `nn.Module` and take the options of `netcompile.load`.
"""

import functools

dependencies = ["torch", "numpy", "safetensors"]


def net(definition, weights=None, **options):
    """The net of a prototxt, of a bundled definition ("voc-fcn8s/val.prototxt"), or of the folder of a build."""
    import netcompile

    return netcompile.load(definition, weights, **options)


def _entries():
    from netcompile.zoo.find import definitions

    found = {}
    for name in definitions():
        folder, _, file = name.partition("/")
        # What computes without labels: deploy where there is one, else the split that is tested on.
        if file in ("deploy.prototxt", "val.prototxt", "test.prototxt") and found.get(folder, "").find("deploy") < 0:
            found[folder] = name
    for folder, name in found.items():
        entry = functools.partial(net, name)
        entry.__doc__ = f"The bundled definition {name}; `weights` is its .caffemodel."
        globals()[folder.replace("-", "_").replace(".", "_")] = entry


_entries()
