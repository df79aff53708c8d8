from command_line import run

run('convert', 'ade20k')
