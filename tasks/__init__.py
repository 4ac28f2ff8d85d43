"""Where examples come from, how they are asked, and how answers are scored: text or images in, scores out.

base.py says what a task is. A module that a yaml names (`_target_: tasks.glue.Glue`) keeps its place here, since that
name is part of the keys of runs. What several of them need is in rooms, each of which imports from those before it:

metrics   metrics of the library evaluate: accuracy, F1, Matthews, Pearson, Spearman
reading   files: tables in several formats, parquet of the hub, pictures, folders of classes
scoring   a prediction and a gold answer in, a verdict or a number out
micro     generators of the small tasks that train on a laptop
own       text tasks on files of one's own
"""
