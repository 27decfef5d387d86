"""From records to claims: frames, fronts, figures and the report. Never loads a model.

metrics     which way is better, and the unit: one table
family      a config -> the name of its curve
frame       records, or the columns of the index -> DataFrame, one row a checkpoint
filters     `task=squad density<0.5` -> the rows that match
loading     the store and filters -> the frame of a report, and what had to be left out
pareto      fronts, staircase, hypervolume, budgets, ties: arrays in, arrays out
seeds       runs that differ in their seed alone -> means and deviations
summary     a frame -> what is said about each task, computed once
curves      a summary -> the tables a figure is drawn from; `paper` the figures of a paper
masks       what a run kept of its masks -> one picture
figures     those tables -> pictures; `drawing` pictures of networks, `style` their looks: these
            three import matplotlib; `labels` and `naming` keep names from covering each other
table       a summary -> lines for a terminal, Markdown and CSV
page_data   summaries -> what the page knows; `html` the page, report.js and report.css inside it
published   result files of others -> records, with `published_config` and `published_tables`
references  points of other papers, drawn hollow
compare     two sweeps against each other
choosing    the checkpoint to ship; `deploy` its exported file and the lines that run it
recommend   `prune recommend`; `importing` `prune import`; `command` `prune report`
"""
