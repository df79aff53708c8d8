from command_line import run

run('convert', 'bdd100k_det')
