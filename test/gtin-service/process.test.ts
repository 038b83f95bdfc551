/**
 * The process: its lines, its exit status, and how it drains, with real processes and signals.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { startGtinService } from '../../gtin-service/service.ts'
import { storeOf } from './feed.ts'
import { answerOf, ask, exchange, SEED, sourceOf } from './raw.ts'

const MAIN = fileURLToPath(new URL('../../gtin-service/main.ts', import.meta.url))
const TARGET = '/stores/3/gtins/123456789012'

/** Runs the service's process; it is killed at the end of the test if it still runs. */
function run(...args: string[]) {
  const child: ChildProcess = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const output = { out: '', err: '' }
  child.stdout?.on('data', (chunk) => (output.out += chunk))
  child.stderr?.on('data', (chunk) => (output.err += chunk))
  const exited = once(child, 'close').then(([code]) => ({ code: code as number, ...output }))
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exited
  })
  /** Resolves with stdout so far when it matches. */
  const says = async (pattern: RegExp) => {
    while (!pattern.test(output.out)) {
      await Promise.race([once(child.stdout as NonNullable<typeof child.stdout>, 'data'), exited])
      if (child.exitCode !== null && !pattern.test(output.out)) throw new Error(`ended: ${output.out}${output.err}`)
    }
    return output.out
  }
  return { child, exited, says }
}

async function ready(...args: string[]) {
  const service = run('--listen', '127.0.0.1:0', '--name', 'p1', '--data', storeOf([SEED]), ...args)
  const line = await service.says(/\n/)
  const port = Number(/^gtin-service ready http:\/\/127\.0\.0\.1:(\d+) name=p1\n$/.exec(line)?.[1])
  expect(port).toBeGreaterThan(0)
  return { ...service, port }
}

/** A kept-alive connection on which requests are asked one after the other. */
async function keptAlive(port: number) {
  const socket: Socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  onTestFinished(() => {
    socket.destroy()
  })
  return {
    closed: once(socket, 'close'),
    get: async (target: string) => {
      socket.write(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`)
      return answerOf(String((await once(socket, 'data'))[0]))
    },
  }
}

describe('starting', () => {
  test('it serves the seed product once it says that it is ready, at the port it says', async () => {
    const { port } = await ready()
    const { status, body } = await ask(port, 'GET', TARGET)
    expect(status).toBe(200)
    expect(body.length).toBe(421 + 'p1'.length)
  })

  test('--help names every flag and exits 0', async () => {
    const { code, out, err } = await run('--help').exited
    expect({ code, err }).toEqual({ code: 0, err: '' })
    for (const flag of ['--listen', '--name', '--drain-delay', '--drain-timeout']) expect(out).toContain(flag)
  })

  test('a busy port is one line and exit status 1', async () => {
    const holder = createServer().listen(0, '127.0.0.1')
    await once(holder, 'listening')
    onTestFinished(() => void holder.close())
    const { port } = holder.address() as AddressInfo
    const ended = await run('--listen', `127.0.0.1:${port}`).exited
    expect(ended).toEqual({ code: 1, out: '', err: `gtin-service: 127.0.0.1:${port} is already in use\n` })
  })

  test.each([
    ['--listen', ['--listen', 'nowhere']],
    ['--listen', ['--listen', '127.0.0.1:65536']],
    ['--name', ['--name=']],
    ['--drain-delay', ['--drain-delay', '5']],
    ['--drain-timeout', ['--drain-timeout=99999m']],
    ['--stale-after', ['--stale-after', '']],
    ['--port', ['--port=1']],
    ["'x'", ['x']],
    ['--name', ['--name']],
  ])('a mistake is one line that names it (%s), and exit status 2', async (name, args) => {
    const { code, out, err } = await run(...args).exited
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toMatch(/^gtin-service: [^\n]+\n$/)
    expect(err).toContain(name)
  })
})

describe('ending', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s: health fails, lookups go on and end their connections, exit 0',
    async (signal) => {
      const { child, port, says, exited } = await ready('--drain-delay', '1m')
      const idle = await keptAlive(port)
      expect((await idle.get(TARGET)).headers.connection).toBe('keep-alive')
      child.kill(signal)
      await says(/draining/)
      const health = answerOf(await exchange(port, 'GET /stores/health/gtins/check HTTP/1.1\r\nHost: a\r\n\r\n'))
      expect(health).toMatchObject({ status: 503, body: 'draining', headers: { connection: 'close' } })
      expect(await idle.get(TARGET)).toMatchObject({ status: 200, headers: { connection: 'close' } })
      await idle.closed
      child.kill(signal)
      expect((await exited).code).toBe(0)
    },
  )

  test('it ends by itself after the delay, although a connection never asked anything', async () => {
    const { child, port, exited } = await ready('--drain-delay', '1ms', '--drain-timeout', '10m')
    const silent = await keptAlive(port)
    const idle = await keptAlive(port)
    await idle.get(TARGET)
    child.kill('SIGTERM')
    expect((await exited).code).toBe(0)
    await Promise.all([silent.closed, idle.closed])
  })

  test('a request whose end has not come yet gets its whole answer, and the source is closed after it', async () => {
    const events: string[] = []
    const source = { ...sourceOf([SEED]), close: () => void events.push('source closed') }
    const service = await startGtinService({ name: 'p1', source })
    const socket = connect(service.port, '127.0.0.1')
    await once(socket, 'connect')
    socket.write(`GET ${TARGET} HTTP/1.1\r\n`)
    // A second connection proves that the service has read the first one's bytes.
    await ask(service.port, 'GET', TARGET)
    const closed = service.close()
    await expect(exchange(service.port, `GET ${TARGET} HTTP/1.1\r\nHost: a\r\n\r\n`)).rejects.toThrow('ECONNREFUSED')
    socket.write('Host: a\r\n\r\n')
    const answer = answerOf(String((await once(socket, 'data'))[0]))
    events.push('answered')
    expect(answer).toMatchObject({ status: 200, headers: { connection: 'close' } })
    expect(answer.body.length).toBe(421 + 'p1'.length)
    await closed
    expect(events).toContain('answered')
    expect(events).toContain('source closed')
  })

  test('a request that never ends is cut after the drain timeout', async () => {
    const service = await startGtinService({ source: sourceOf([]), drainTimeoutMs: 1 })
    const running = exchange(service.port, `GET ${TARGET} HTTP/1.1\r\n`)
    await ask(service.port, 'GET', TARGET)
    await service.close()
    expect(await running.catch(() => '')).toBe('')
  })
})
