"""Many runs: a space of overrides, asked point by point, run in slots, resumed by the same command.

space.py     a sweep file and the command line -> points; a point is a list of overrides
plan.py      points -> trials with their run ids, and the runs they need first
study.py     ask and tell: the only file that imports optuna
controller.py  the loop: ask, look in the store, submit, read the result, tell
executors/   where the runs are started
progress.py  what it looks like
command.py   `prune sweep`
"""
