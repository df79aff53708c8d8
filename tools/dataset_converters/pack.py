from command_line import run

run('pack')
