"""Many runs: a space of overrides, asked point by point, run in slots, resumed by the same command.

space.py     a sweep file and the command line -> points; a point is a list of overrides
plan.py      points -> trials with their run ids, and the runs they need first
search.py    what is looked for: sampler, objectives, constraints
study/      ask and tell: the only room that imports optuna
early_stop.py, stopping.py  which running trial is beaten; what is done about it
controller.py  the loop: ask, look in the store, submit, read the result, tell
launcher.py  who starts the runs: this machine, Slurm or Ray
executors/   where the runs are started: in slots, on devices, forked from a warm server, elsewhere
attempts.py  what becomes of a run that ended without a result
progress.py  what it looks like
command.py   `prune sweep`
"""
