/**
 * SIGTERM, as an orchestrator sends it: readiness first, then time to notice, then the end of what runs; alike with one process
 * and with workers.
 */
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Banyan, startBanyan, tableFor } from '../support/banyan.ts'
import { rawClient } from '../support/client.ts'
import { type ScriptedUpstream, scriptedUpstream } from '../support/upstream.ts'

const GET = 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'
const UPGRADE = 'GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'

async function start(
  workers: number,
  args: readonly string[],
  settings: readonly string[] = [],
): Promise<{ banyan: Banyan; upstream: ScriptedUpstream }> {
  const upstream = await scriptedUpstream()
  onTestFinished(() => upstream.stop())
  const banyan = await startBanyan({
    table: `${tableFor(upstream.port)}${routeWith(settings)}`,
    args: [...args, '--workers', String(workers)],
  })
  onTestFinished(async () => {
    await banyan.stop()
  })
  return { banyan, upstream }
}

/** One route for everything, with more lines of its own. */
function routeWith(settings: readonly string[]): string {
  if (settings.length === 0) return ''
  return [
    'routes:',
    '  - id: all',
    '    match: { path: /* }',
    '    to: main',
    ...settings.map((line) => `    ${line}`),
    '',
  ].join('\n')
}

const ready = async ({ adminPort }: Banyan) => (await fetch(`http://127.0.0.1:${adminPort}/readyz`)).status

/** Whether connections are accepted. */
async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  const accepted = await once(socket, 'connect').then(
    () => true,
    () => false,
  )
  socket.destroy()
  return accepted
}

describe.each([0, 2])('--workers %i', (workers) => {
  test('readiness fails first; answers end their connections; what runs is finished; exit 0', async () => {
    const { banyan, upstream } = await start(workers, ['--drain-delay', '3s'])
    const [running, kept] = [await rawClient(banyan.port), await rawClient(banyan.port)]
    upstream.handler = (request) => request.ok()
    expect((await kept.ask(GET)).head).not.toMatch(/connection: close/i)
    const held = new Promise<() => Promise<void>>((resolve) => {
      upstream.handler = (request) => resolve(() => request.ok('late'))
    })
    await running.send(GET)
    const answer = await held
    upstream.handler = (request) => request.ok()
    expect(await ready(banyan)).toBe(200)
    banyan.program.child.kill('SIGTERM')
    await expect.poll(() => ready(banyan)).toBe(503)
    // The balancer has yet to notice: its connections are taken, and each answer is the last one.
    const another = await rawClient(banyan.port)
    for (const client of [kept, another]) expect((await client.ask(GET)).head).toMatch(/\r\nconnection: close\r\n/i)
    await expect.poll(() => accepts(banyan.port)).toBe(false)
    await answer()
    expect((await running.nextResponse()).body.text).toBe('late')
    expect(await banyan.program.ended()).toBe(0)
  })

  test('what is not over within --drain-timeout is cut, an upgraded connection too; exit 0', async () => {
    const { banyan, upstream } = await start(workers, ['--drain-timeout', '300ms'])
    upstream.handler = (request) =>
      request.send('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    const client = await rawClient(banyan.port)
    expect((await client.ask(UPGRADE)).status).toBe(101)
    banyan.program.child.kill('SIGTERM')
    expect(await banyan.program.ended()).toBe(0)
    expect(await client.ended()).toMatch(/end|reset/)
  })

  test('a second one hurries: the delay and what still runs are cut short; exit 0', async () => {
    const { banyan, upstream } = await start(workers, ['--drain-delay', '1h', '--drain-timeout', '1h'])
    const arrived = new Promise<void>((resolve) => {
      upstream.handler = () => resolve()
    })
    const client = await rawClient(banyan.port)
    await client.send(GET)
    await arrived
    banyan.program.child.kill('SIGTERM')
    await expect.poll(() => ready(banyan)).toBe(503)
    banyan.program.child.kill('SIGTERM')
    expect(await banyan.program.ended()).toBe(0)
  })

  test('an answer from the cache that its client has yet to take is not cut', async () => {
    const size = 10_000_000
    const { banyan, upstream } = await start(workers, [], ['cache: { ttl: 10m, maxBody: 20MiB }'])
    upstream.handler = (request) =>
      request.send(
        `HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`,
      )
    // More connections than workers: the second time each has it in its memory.
    for (let n = 0; n < 2 * Math.max(1, workers); n++) {
      const answer = await fetch(`http://127.0.0.1:${banyan.port}/`, { headers: { connection: 'close' } })
      expect((await answer.arrayBuffer()).byteLength).toBe(size)
    }
    const slow = connect(banyan.port, '127.0.0.1')
    slow.write(GET)
    await once(slow, 'readable')
    banyan.program.child.kill('SIGTERM')
    await expect.poll(() => accepts(banyan.port)).toBe(false)
    // Several looks of the drain for connections that are idle.
    await wait(300)
    let bytes = 0
    slow.on('data', (piece: Buffer) => {
      bytes += piece.length
    })
    await once(slow, 'close')
    expect(bytes).toBeGreaterThan(size)
    expect(await banyan.program.ended()).toBe(0)
  })

  test('SIGUSR1 opens the access log anew; SIGUSR2 and SIGPIPE do nothing; in no process of it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'banyan-signals-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const file = join(folder, 'access.log')
    const { banyan, upstream } = await start(workers, ['--access-log', file])
    upstream.handler = (request) => request.ok()
    const answer = await fetch(`http://127.0.0.1:${banyan.adminPort}/readyz`)
    const pids = ((await answer.json()) as { workers: { pid: number }[] }).workers.map(({ pid }) => pid)
    renameSync(file, `${file}.1`)
    for (const pid of [...pids, banyan.pid]) {
      for (const signal of ['SIGUSR2', 'SIGPIPE', 'SIGUSR1'] as const) process.kill(pid, signal)
    }
    // Each process that writes it has it open again.
    const opened = (pid: number): boolean =>
      readdirSync(`/proc/${pid}/fd`).some((fd) => linkOf(`/proc/${pid}/fd/${fd}`) === file)
    await expect.poll(() => (workers === 0 ? [banyan.pid] : pids).every(opened)).toBe(true)
    for (const pid of pids) process.kill(pid, 'SIGHUP')
    expect(await (await fetch(`http://127.0.0.1:${banyan.port}/`)).text()).toBe('ok')
    expect(await banyan.stop()).toBe(0)
    expect(readFileSync(file, 'utf8')).toContain('"target":"/"')
    // The debugger announces itself on stderr, which `stop` has looked at.
    expect(banyan.log.filter((line) => line.includes('SIGUSR2 ignored'))).toHaveLength(1)
    expect(banyan.log.filter((line) => line.includes('worker-died'))).toEqual([])
  })
})

function linkOf(path: string): string | null {
  try {
    return readlinkSync(path)
  } catch {
    return null
  }
}
