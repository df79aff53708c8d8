from command_line import run

run('convert', 'tt100k')
