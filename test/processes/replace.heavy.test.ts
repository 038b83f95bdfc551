/**
 * SIGHUP: every worker is replaced by one of the code on disk, under load, and no request is lost.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { tableFor } from '../support/banyan.ts'
import { banyanWith, get, Load, upstreamNamed, workersOf } from './rig.ts'

const replaced = (line: string): boolean => line.includes('"event":"replaced"')

/** A module that answers as the middleware of a release: it names itself in a field. */
function middleware(folder: string): { file: string; write(code: string): void } {
  const file = join(folder, 'release.js')
  return { file, write: (code) => writeFileSync(file, code) }
}

function release(name: string): string {
  return `export default async (ctx, next) => {\n  if (ctx.path === '/release') ctx.body = '${name}'\n  else await next()\n}\n`
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'banyan-workers-'))
  onTestFinished(() => rmSync(path, { recursive: true }))
  return path
}

test('under load, three times over: not one request fails', async () => {
  const port = await upstreamNamed('main')
  const banyan = await banyanWith(2, { table: tableFor(port) })
  const before = await workersOf(banyan)
  const load = new Load(banyan.port, 16)
  await load.more(500)
  for (let round = 1; round <= 3; round++) {
    banyan.program.child.kill('SIGHUP')
    await expect.poll(() => banyan.log.filter(replaced).length).toBe(round)
    await load.more(500)
  }
  await load.stop()
  const after = await workersOf(banyan)
  expect(after.map(({ starts, state }) => ({ starts, state }))).toEqual(Array(2).fill({ starts: 4, state: 'up' }))
  expect(after.map(({ pid }) => pid)).not.toEqual(expect.arrayContaining([before[0]!.pid]))
  expect(load.failed).toEqual([])
  expect(load.requests).toBeGreaterThan(2000)
  // Each client was told at least once for each round that its connection ends with an answer.
  expect(load.closes).toBeGreaterThanOrEqual(16 * 3 - 16)
})

test('a connection that is idle is waited for, and ends with the answer to its next request', async () => {
  const port = await upstreamNamed('main')
  const banyan = await banyanWith(1, { table: tableFor(port) })
  const [before] = await workersOf(banyan)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  onTestFinished(() => agent.destroy())
  expect(await get(banyan.port, '/', agent)).toMatchObject({ status: 200, closes: false })
  banyan.program.child.kill('SIGHUP')
  // The new one is up and takes connections while the old one waits for this client.
  await expect.poll(async () => (await workersOf(banyan))[0]!.pid).not.toBe(before!.pid)
  // Long enough for a drain that does not wait to have closed it.
  for (let n = 0; n < 40; n++) expect(await get(banyan.port, '/', new Agent())).toMatchObject({ status: 200 })
  expect(banyan.log.filter(replaced)).toEqual([])
  expect(await get(banyan.port, '/', agent)).toMatchObject({ status: 200, closes: true })
  await banyan.program.line(replaced)
  expect(await get(banyan.port, '/', agent)).toMatchObject({ status: 200, closes: false })
})

test('the code on disk runs afterwards; where it can not, the workers of before serve on', async () => {
  const port = await upstreamNamed('main')
  const { file, write } = middleware(folder())
  write(release('one'))
  const banyan = await banyanWith(2, { table: tableFor(port), args: ['--middleware', file] })
  // Each time on another connection: an idle one would be waited for.
  const ask = async () => (await get(banyan.port, '/release', new Agent())).text
  expect(await ask()).toBe('one')
  const load = new Load(banyan.port, 8)
  write('throw new Error("does not start")')
  banyan.program.child.kill('SIGHUP')
  const line = await banyan.program.line((one) => one.includes('"event":"replace-failed","worker":1'))
  expect(line).toContain('does not start')
  await load.more(200)
  write(release('two'))
  banyan.program.child.kill('SIGHUP')
  await banyan.program.line(replaced)
  for (let n = 0; n < 4; n++) expect(await ask()).toBe('two')
  await load.stop()
  expect(load.failed).toEqual([])
})

/** The processes that one has started, as the kernel knows them. */
function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ').filter(Boolean).map(Number)
}

test('signals to the whole process group do not end a worker that is starting', async () => {
  const banyan = await banyanWith(1, { table: tableFor(await upstreamNamed('main')) })
  const signals = ['SIGINT', 'SIGTERM', 'SIGUSR2', 'SIGHUP'] as const
  for (const [n, signal] of signals.entries()) {
    const before = childrenOf(banyan.pid)
    banyan.program.child.kill('SIGHUP')
    let fresh: number | undefined
    const started = () => {
      fresh = childrenOf(banyan.pid).find((pid) => !before.includes(pid))
      return fresh
    }
    await expect.poll(started, { interval: 1 }).toBeDefined()
    for (const pid of [...before, fresh!]) process.kill(pid, signal)
    await expect.poll(() => banyan.log.filter(replaced).length).toBe(n + 1)
  }
  // To the primary as well it asks for another round.
  const before = childrenOf(banyan.pid)
  banyan.program.child.kill('SIGHUP')
  await expect.poll(() => childrenOf(banyan.pid).length, { interval: 1 }).toBeGreaterThan(before.length)
  for (const pid of [...childrenOf(banyan.pid), banyan.pid]) process.kill(pid, 'SIGHUP')
  await expect.poll(() => banyan.log.filter(replaced).length).toBe(signals.length + 2)
  expect(await workersOf(banyan)).toMatchObject([{ state: 'up' }])
  expect(banyan.log.filter((line) => /replace-failed|worker-died/.test(line))).toEqual([])
})

test('a worker that a signal ends before it can ignore any is started again', async () => {
  const started = join(folder(), 'started')
  // Every other process of a worker gets one before the program is loaded.
  const flag = `import { appendFileSync, readFileSync } from 'node:fs'
if (process.argv[2] === 'worker') {
  appendFileSync(${JSON.stringify(started)}, '.')
  if (readFileSync(${JSON.stringify(started)}).length % 2 === 1) process.kill(process.pid, 'SIGHUP')
}`
  const nodeFlags = ['--import', `data:text/javascript,${encodeURIComponent(flag)}`]
  const banyan = await banyanWith(1, { table: tableFor(await upstreamNamed('main')), nodeFlags })
  banyan.program.child.kill('SIGHUP')
  await banyan.program.line(replaced)
  expect(readFileSync(started, 'latin1')).toBe('....')
  expect(banyan.log.filter((line) => /replace-failed|worker-died/.test(line))).toEqual([])
})

test('with --workers 0 it says that there is nothing to replace', async () => {
  const banyan = await banyanWith(0, { table: tableFor(await upstreamNamed('main')) })
  banyan.program.child.kill('SIGHUP')
  expect(await banyan.program.line((line) => line.includes('"event":"reload"'))).toContain('--workers 0')
  expect(await (await fetch(`http://127.0.0.1:${banyan.port}/`)).text()).toBe('main')
  expect(await workersOf(banyan)).toEqual([])
})
