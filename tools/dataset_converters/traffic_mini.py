from command_line import run

run('convert', 'traffic_mini')
