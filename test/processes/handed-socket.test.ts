/**
 * `--listen systemd`: the socket is somebody else's, as a .socket unit has it. Through a restart it stays open, and who connects
 * meanwhile is answered by the next process.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { tableFor } from '../support/banyan.ts'
import { rawClient } from '../support/client.ts'
import { Program } from '../support/process.ts'
import { scriptedUpstream } from '../support/upstream.ts'

const ROOT = join(import.meta.dirname, '../..')

/** Keeps the socket (3), and runs the program with it once for each line that it is told. */
const LIKE_SYSTEMD = 'while read -r _; do LISTEN_FDS=1 "$@" 3<&3 & echo "pid $!"; wait $!; echo "ended $?"; done'

/** A socket that listens, and that only others accept on: nobody does in this process. */
async function socket(): Promise<{ server: Server; fd: number; port: number }> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle
  return { server, fd, port: (server.address() as AddressInfo).port }
}

test.each(['0', '1'])(
  'with --workers %s a restart refuses nobody: who comes meanwhile is answered after it',
  async (workers) => {
    const folder = mkdtempSync(join(tmpdir(), 'banyan-handed-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const upstream = await scriptedUpstream((request) => request.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
    const table = join(folder, 'routes.yaml')
    writeFileSync(table, tableFor(upstream.port))
    const { server, fd, port } = await socket()
    const serve = ['bin/banyan.js', 'serve', '--table', table, '--listen', 'systemd', '--admin', '127.0.0.1:0']
    const command = [process.execPath, ...serve, '--workers', workers, '--access-log', 'none']
    const child = spawn('bash', ['-c', LIKE_SYSTEMD, 'bash', ...command], {
      cwd: ROOT,
      stdio: ['pipe', 'pipe', 'pipe', fd],
    })
    server.close()
    const keeper = new Program(child)
    onTestFinished(async () => {
      const pids = keeper.log.flatMap((line) => /^pid (\d+)$/.exec(line)?.[1] ?? [])
      const running = pids.slice(keeper.log.filter((line) => line.startsWith('ended ')).length)
      for (const pid of running) process.kill(Number(pid), 'SIGTERM')
      child.stdin!.end()
      await keeper.stop()
    })
    const said = async (begins: string, times: number): Promise<string> => {
      await keeper.line(() => keeper.log.filter((line) => line.startsWith(begins)).length >= times)
      return keeper.log.findLast((line) => line.startsWith(begins)) as string
    }
    const stop = async (times: number): Promise<void> => {
      process.kill(Number((await said('pid ', times)).slice('pid '.length)), 'SIGTERM')
      expect(await said('ended ', times)).toBe('ended 0')
    }

    child.stdin!.write('\n')
    expect(await said('banyan ready ', 1)).toContain(` http://127.0.0.1:${port} `)
    const before = await rawClient(port)
    expect((await before.ask('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n')).status).toBe(200)
    await stop(1)

    // The system accepts it, and keeps what it sends for whoever comes.
    const answer = fetch(`http://127.0.0.1:${port}/`)
    child.stdin!.write('\n')
    await said('banyan ready ', 2)
    expect((await answer).status).toBe(200)
    await stop(2)
    child.stdin!.end()
    await once(child, 'close')
    expect(keeper.stderr).toBe('')
  },
)
