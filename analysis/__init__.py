"""From records to claims: frames, fronts, figures and the report. Never loads a model.

metrics   which way is better, and the unit: one table
family    a config -> the name of its curve
frame     records -> DataFrame, one row a checkpoint
filters   `task=squad density<0.5` -> the rows that match
pareto    fronts, staircase, hypervolume, budgets, ties: arrays in, arrays out
summary   a frame -> what is said about each task, computed once
curves    a summary -> the tables a figure is drawn from
figures   those tables -> pictures; the only file that imports matplotlib
table     a summary -> lines for a terminal, Markdown and CSV
html      summaries -> one self-contained page
command   `prune report`
"""
