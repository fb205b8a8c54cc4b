"""One program each that loads an export, run by `benchmarks.reach` in an environment of its own, without barlowtf.

Called as `python NAME.py FILE VIEWS.npz OUT.npz [WORD]...`. VIEWS.npz holds views, uint8 [N, S, S, 3], and mean and std
of the normalization, [3]; OUT.npz gets outputs by name, float32 [N, ...], and the program's version.
"""
