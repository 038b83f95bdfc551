/**
 * The application as a process: its flags, its one line when ready, its ends; and shutdown with exchanges under way.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, expect, onTestFinished, test } from 'vitest'
import { answerOf, ask, get, NOON_MS, serve, wire } from './raw.ts'

const MAIN = new URL('../../legacy-mock/main.ts', import.meta.url).pathname

function start(...flags: string[]): ChildProcess {
  const child = spawn(process.execPath, [MAIN, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

/** Runs to the end, and gives exit status and what was printed. */
async function run(...flags: string[]) {
  const child = start(...flags)
  const exited = once(child, 'exit')
  const [out, err] = await Promise.all([text(child.stdout!), text(child.stderr!)])
  return { status: (await exited)[0] as number, out, err }
}

async function ready(child: ChildProcess): Promise<number> {
  const [line] = (await once(child.stdout!, 'data')) as [Buffer]
  const port = /^legacy-mock ready http:\/\/127\.0\.0\.1:(\d+)\n$/.exec(String(line))?.[1]
  if (port === undefined) throw new Error(`not ready: ${line}`)
  return Number(port)
}

describe('process', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('%s lets a running exchange finish, then exits 0', async (signal) => {
    const child = start('--listen', '127.0.0.1:0', '--latency', 'none')
    const port = await ready(child)
    const { until, end } = wire(port, get('/reports/prices.csv?rows=2500&pace=20ms'))
    await until(/\r\n\r\n/)
    const exited = once(child, 'exit')
    child.kill(signal)
    // Pauses are cut short by the shutdown, the rows are not.
    expect(answerOf(await end())).toMatchObject({
      complete: true,
      trailers: [expect.anything(), ['X-Row-Count', '2500']],
    })
    expect(await exited).toEqual([0, null])
  })

  test('a frozen process and a frozen server in process answer alike', async () => {
    const child = start(
      '--listen',
      '127.0.0.1:0',
      '--latency-median',
      '1ms',
      '--freeze',
      new Date(NOON_MS).toISOString(),
      '--seed',
      '5',
    )
    const port = await ready(child)
    const inside = await serve({ seed: 5 })
    expect(await ask(port, get('/login'))).toEqual(await ask(inside.port, get('/login')))
  })

  test('a busy port gets one line and exit 1', async () => {
    const blocker = createServer().listen(0, '127.0.0.1')
    onTestFinished(() => void blocker.close())
    await once(blocker, 'listening')
    const { port } = blocker.address() as { port: number }
    expect(await run('--listen', `127.0.0.1:${port}`)).toEqual({
      status: 1,
      out: '',
      err: `legacy-mock: 127.0.0.1:${port} is in use by another program\n`,
    })
  })

  test.each([
    [['--latency', 'some'], '--latency takes none, not some (see --latency-median)'],
    [['--latency-median', '40'], '--latency-median takes a time like 40ms, not 40'],
    [['--listen', '4001'], '--listen takes HOST:PORT, not 4001'],
    [['--freeze', 'noon'], '--freeze takes an ISO 8601 time, not noon'],
    [['--as-of', '2026-02-30'], '--as-of takes a day like 2026-01-01, or today, not 2026-02-30'],
    [['--origin', 'example'], '--origin takes a URL without a path, not example'],
    [['--sed', '1'], "Unknown option '--sed'"],
  ])('%j: %s', async (flags, message) => {
    expect(await run(...flags)).toEqual({ status: 1, out: '', err: `legacy-mock: ${message} (try --help)\n` })
  })

  test('--help lists the flags', async () => {
    const { status, out } = await run('--help')
    expect([status, out.includes('--latency-median TIME')]).toEqual([0, true])
  })
})

describe('shutdown', () => {
  test('closes idle connections, ends silence, cuts off what does not end in time', async () => {
    const legacy = await serve({ drainMs: 60_000 })
    const idle = wire(legacy.port, 'GET /status HTTP/1.1\r\nHost: a\r\n\r\n')
    await idle.until(/UP\n/)
    const silent = wire(legacy.port, get('/faults/hang-body'))
    await silent.until(/half/)
    await legacy.close()
    expect(answerOf(await idle.end()).complete).toBe(true)
    expect(answerOf(await silent.end()).complete).toBe(false)
    const stuck = await serve({ drainMs: 1 })
    const upload = wire(
      stuck.port,
      'PUT /uploads/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n',
    )
    await upload.until(/100 Continue/)
    await stuck.close()
    expect(await upload.end()).toBe('HTTP/1.1 100 Continue\r\n\r\n')
  })

  test('a kept-alive connection whose answer is under way is closed behind it', async () => {
    const legacy = await serve({ keepAliveMs: 3_600_000, drainMs: 3_600_000 })
    const report = wire(legacy.port, 'GET /reports/prices.csv?rows=500&pace=1h HTTP/1.1\r\nHost: a\r\n\r\n')
    await report.until(/\r\n\r\n/)
    await legacy.close()
    expect(answerOf(await report.end()).complete).toBe(true)
  })

  test('new connections are refused, and an answer under way says that it is the last', async () => {
    const legacy = await serve({ latencyMedianMs: 3_600_000, drainMs: 60_000 })
    const thinking = wire(legacy.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    // The reply to a later request shows that the first one has arrived.
    await ask(legacy.port, get('/status'))
    await legacy.close()
    expect(await thinking.end()).toContain('\r\nConnection: close\r\n')
    const refused = wire(legacy.port, get('/status'))
    expect(await refused.end()).toBe('')
  })
})
