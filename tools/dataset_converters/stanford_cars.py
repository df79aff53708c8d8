from command_line import run

run('convert', 'stanford_cars')
