from command_line import run

run('convert', 'camvid')
