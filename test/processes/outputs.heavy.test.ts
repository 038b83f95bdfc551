/**
 * Standard output and logs that nobody reads, that are full, or whose reader is gone: banyan serves on, and ends when it is told to.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { startBanyan, tableFor } from '../support/banyan.ts'
import { Pipe } from '../support/pipe.ts'
import { startProgram } from '../support/process.ts'
import { get, lives, upstreamNamed } from './rig.ts'

const ROOT = join(import.meta.dirname, '../..')
/** So that few lines fill a pipe. */
const LONG = `/${'x'.repeat(4000)}`

async function tableFile(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-outputs-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'routes.yaml')
  writeFileSync(path, tableFor(await upstreamNamed('main')))
  return path
}

interface Started {
  readonly child: ChildProcess
  /** Everything of stderr so far. */
  readonly stderr: () => string
  /** @returns exit code and signal */
  ended(): Promise<unknown[]>
}

/** `banyan` with that descriptor as its standard output. It is killed at the end of the test, should it still run. */
function spawnBanyan(stdout: number, args: readonly string[]): Started {
  const child = spawn(process.execPath, ['bin/banyan.js', ...args], { cwd: ROOT, stdio: ['ignore', stdout, 'pipe'] })
  let text = ''
  child.stderr!.setEncoding('utf8').on('data', (piece: string) => {
    text += piece
  })
  const over = once(child, 'close')
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await over
  })
  return { child, stderr: () => text, ended: () => over }
}

/** A socket that listens, for the child to accept on. */
async function handedSocket(): Promise<{ fd: number; port: number; close(): void }> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle
  return { fd, port: (server.address() as AddressInfo).port, close: () => void server.close() }
}

const serve = async (workers: number, more: readonly string[] = []): Promise<string[]> => {
  const free = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0']
  return ['serve', '--table', await tableFile(), ...free, '--workers', String(workers), ...more]
}

/** Waits for the ready line. */
async function portsOf(pipe: Pipe): Promise<{ port: number; adminPort: number }> {
  const [port, adminPort] = (await pipe.readUntil(' routes ')).match(/(?<=http:\/\/127\.0\.0\.1:)\d+/g)!.map(Number)
  return { port: port!, adminPort: adminPort! }
}

/** More lines of the access log than a pipe holds. */
async function fill(port: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 4 })
  const answers = await Promise.all(Array.from({ length: 100 }, () => get(port, LONG, agent)))
  agent.destroy()
  expect(answers.filter(({ status }) => status !== 200)).toEqual([])
}

async function workersAt(adminPort: number): Promise<number[]> {
  const answer = await fetch(`http://127.0.0.1:${adminPort}/readyz`)
  return ((await answer.json()) as { workers: { pid: number }[] }).workers.map(({ pid }) => pid)
}

describe.each([0, 2])('--workers %i', (workers) => {
  test('stdout is a pipe that nobody reads: it serves on, and SIGTERM ends it', async () => {
    const pipe = new Pipe()
    const { child, stderr, ended } = spawnBanyan(pipe.writeEnd, await serve(workers))
    pipe.handed()
    const { port } = await portsOf(pipe)
    for (let round = 0; round < 3; round++) await fill(port)
    child.kill('SIGTERM')
    expect(await ended()).toEqual([0, null])
    expect(stderr()).toBe('')
  })

  test('a reader that is slow gets every line', async () => {
    const pipe = new Pipe()
    const { child, ended } = spawnBanyan(pipe.writeEnd, await serve(workers))
    pipe.handed()
    const { port } = await portsOf(pipe)
    for (let round = 0; round < 3; round++) await fill(port)
    await fetch(`http://127.0.0.1:${port}/last`)
    // Another worker may have lines from before in a batch that leaves later.
    const isEach = (text: string) =>
      /"target":"\/last"/.test(text) && (text.match(/"target":"\/x+"/g) ?? []).length >= 300
    const lines = await pipe.readUntil(isEach)
    child.kill('SIGTERM')
    expect(await ended()).toEqual([0, null])
    const all = lines + pipe.read()
    expect(all.match(/"target":"\/x+"/g)).toHaveLength(300)
    expect(all).toContain('"event":"ended"')
  })

  test('the reader of stdout is gone: it serves on, says so once on stderr, and SIGTERM ends it', async () => {
    const pipe = new Pipe()
    const { child, stderr, ended } = spawnBanyan(pipe.writeEnd, await serve(workers))
    pipe.handed()
    const { port } = await portsOf(pipe)
    pipe.close()
    for (let round = 0; round < 3; round++) await fill(port)
    child.kill('SIGTERM')
    expect(await ended()).toEqual([0, null])
    expect(stderr()).toBe('banyan: cannot write to stdout (EPIPE): dropping log lines\n')
  })
})

test('stdout and stderr are one pipe that nobody reads: SIGTERM ends it', async () => {
  const pipe = new Pipe()
  const args = ['bin/banyan.js', ...(await serve(0))]
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', pipe.writeEnd, pipe.writeEnd] })
  onTestFinished(() => void child.kill('SIGKILL'))
  pipe.handed()
  const { port } = await portsOf(pipe)
  for (let round = 0; round < 3; round++) await fill(port)
  child.kill('SIGTERM')
  expect(await once(child, 'exit')).toEqual([0, null])
})

describe('a primary that is killed', () => {
  const killed = async (before: (pipe: Pipe, port: number) => Promise<void>, more: readonly string[] = []) => {
    const pipe = new Pipe()
    const { child } = spawnBanyan(pipe.writeEnd, await serve(2, more))
    pipe.handed()
    const { port, adminPort } = await portsOf(pipe)
    const pids = await workersAt(adminPort)
    expect(pids.map(lives)).toEqual([true, true])
    await before(pipe, port)
    child.kill('SIGKILL')
    await expect.poll(() => pids.map(lives)).toEqual([false, false])
  }

  test('takes its workers with it while they have lines that nobody takes', async () => {
    await killed(async (_, port) => {
      for (let round = 0; round < 3; round++) await fill(port)
    })
  })

  test('takes its workers with it while they write lines', async () => {
    await killed(async (_, port) => {
      const agent = new Agent({ keepAlive: true })
      onTestFinished(() => agent.destroy())
      for (let n = 0; n < 50; n++) void get(port, LONG, agent)
      await get(port, '/', agent)
    })
  })

  test('takes its workers with it where nobody reads stdout any more', async () => {
    await killed(async (pipe, port) => {
      pipe.close()
      await fill(port)
    })
  })
})

describe.skipIf(!existsSync('/dev/full'))('stdout is a full disk', () => {
  const full = (): number => openSync('/dev/full', 'w')

  test.each([0, 2])('serve with --workers %i: it starts and serves, and says so once on stderr', async (workers) => {
    const access = new Pipe()
    const args = await serve(workers, ['--access-log', access.path])
    const log = args.indexOf('--listen')
    // The line that tells the port is lost.
    const server = await handedSocket()
    args[log + 1] = 'systemd'
    const child = spawn(process.execPath, ['bin/banyan.js', ...args], {
      cwd: ROOT,
      env: { ...process.env, LISTEN_FDS: '1' },
      stdio: ['ignore', full(), 'pipe', server.fd],
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    server.close()
    let stderr = ''
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    expect(await (await fetch(`http://127.0.0.1:${server.port}/`)).text()).toBe('main')
    child.kill('SIGTERM')
    expect(await once(child, 'close')).toEqual([0, null])
    expect(stderr).toBe('banyan: cannot write to stdout (ENOSPC): dropping log lines\n')
  })

  test('a command says so and fails', async () => {
    const { ended, stderr } = spawnBanyan(full(), ['--help'])
    expect(await ended()).toEqual([1, null])
    expect(stderr()).toMatch(/^banyan: can't write to stdout: ENOSPC\b.*\n$/)
  })

  test('a command that has failed already keeps its exit code, also where stderr is full', async () => {
    const child = spawn(process.execPath, ['bin/banyan.js', 'nonsense'], {
      cwd: ROOT,
      stdio: ['ignore', full(), full()],
    })
    expect(await once(child, 'exit')).toEqual([2, null])
  })
})

describe('what a command prints into a pipe', () => {
  const command = (pipe: Pipe): Started => {
    // As the command line has it, with more to print than a pipe holds.
    const code = `import { printed, toStdout } from './src/printing.ts'
for (let n = 0; n < 10; n++) toStdout(String(n).repeat(100_000))
process.exit(await printed(0))`
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', code], {
      cwd: ROOT,
      stdio: ['ignore', pipe.writeEnd, 'inherit'],
    })
    pipe.handed()
    return { child, stderr: () => '', ended: () => once(child, 'exit') }
  }

  test('arrives whole, however slow its reader', async () => {
    const pipe = new Pipe()
    const { ended } = command(pipe)
    const over = ended()
    const text = await pipe.readUntil('9'.repeat(100_000))
    expect(text).toHaveLength(1_000_000)
    expect(await over).toEqual([0, null])
  })

  test('is no failure where the reader has had enough', async () => {
    const pipe = new Pipe()
    const { ended } = command(pipe)
    const over = ended()
    await pipe.readUntil('0')
    pipe.close()
    expect(await over).toEqual([0, null])
  })
})

describe('--access-log at a pipe', () => {
  test('that nobody reads: it serves on and ends', async () => {
    const pipe = new Pipe()
    const banyan = await startBanyan({
      table: tableFor(await upstreamNamed('main')),
      args: ['--access-log', pipe.path],
    })
    onTestFinished(() => void banyan.stop())
    for (let round = 0; round < 3; round++) await fill(banyan.port)
    expect(await banyan.stop()).toBe(0)
    expect(pipe.read()).toContain('"target":"/xxx')
  })

  test('with a slow reader loses no line', async () => {
    const pipe = new Pipe()
    const banyan = await startBanyan({
      table: tableFor(await upstreamNamed('main')),
      args: ['--access-log', pipe.path],
    })
    onTestFinished(() => void banyan.stop())
    for (let round = 0; round < 3; round++) await fill(banyan.port)
    await fetch(`http://127.0.0.1:${banyan.port}/last`)
    const text = await pipe.readUntil('"target":"/last"')
    expect(text.match(/^\{.*"target":"\/x+".*\}$/gm)).toHaveLength(300)
  })

  test('that nobody has opened to read is an error at the start', async () => {
    const pipe = new Pipe()
    pipe.handed()
    pipe.close()
    const program = startProgram(['bin/banyan.js', ...(await serve(0, ['--access-log', pipe.path]))])
    expect(await program.ended()).toBe(1)
    expect(program.stderr).toMatch(/^banyan: --access-log .*: ENXIO\b.*\n$/)
  })
})
