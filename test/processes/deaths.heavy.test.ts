/**
 * Workers that die, and a primary that does.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { tableFor } from '../support/banyan.ts'
import { startProgram } from '../support/process.ts'
import { banyanWith, Load, lives, metric, upstreamNamed, workersBecome, workersOf } from './rig.ts'

const CLIENTS = 16

test('kill -9 under load: only exchanges of that worker break, it is replaced, and no counter falls', async () => {
  const banyan = await banyanWith(2, { table: tableFor(await upstreamNamed('main')) })
  const load = new Load(banyan.port, CLIENTS)
  await load.more(400)
  const before = await workersOf(banyan)
  // Spread evenly, so half of the clients are there: each of them has one request under way at most.
  expect(before.map(({ connections }) => connections)).toEqual([CLIENTS / 2, CLIENTS / 2])
  const counted = await metric(banyan, 'banyan_requests_total')
  expect(counted).toBeGreaterThanOrEqual(400)
  process.kill(before[0]!.pid, 'SIGKILL')
  await load.more(400)
  const during = await metric(banyan, 'banyan_requests_total')
  const after = await workersBecome(banyan, (workers) => workers.every(({ state }) => state === 'up'))
  expect(after[0]!.pid).not.toBe(before[0]!.pid)
  expect(after[1]!.pid).toBe(before[1]!.pid)
  const broken = load.failed.length
  await load.more(400)
  await load.stop()
  expect(broken).toBeLessThanOrEqual(CLIENTS / 2)
  expect(load.failed).toHaveLength(broken)
  for (const { status, error } of load.failed) expect({ status, error }).toMatchObject({ status: null })
  const total = await metric(banyan, 'banyan_requests_total')
  expect(during).toBeGreaterThanOrEqual(counted)
  expect(total).toBeGreaterThan(during)
  // All but what the dead worker had not told when it died was counted.
  expect(total).toBeLessThanOrEqual(load.requests)
  expect(await metric(banyan, 'banyan_worker_starts_total{worker="1"}')).toBe(2)
  expect(await banyan.program.line((line) => line.includes('"event":"worker-died"'))).toContain('signal SIGKILL')
})

function moduleOf(code: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-workers-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'middleware.mjs')
  writeFileSync(file, code)
  return file
}

const free = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0']

async function serve(args: readonly string[]): Promise<{ code: number | null; out: string; err: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-workers-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const table = join(folder, 'routes.yaml')
  writeFileSync(table, tableFor(1))
  const program = startProgram(['bin/banyan.js', 'serve', '--table', table, ...free, '--workers', '2', ...args])
  const code = await program.ended()
  return { code, out: program.log.join('\n'), err: program.stderr }
}

test('workers that end as soon as they start: a few tries, then one line and exit 1', async () => {
  const { code, out, err } = await serve(['--middleware', moduleOf('process.exit(7)')])
  expect(err).toBe('banyan: workers exit right after starting, the last one with: exit code 7\n')
  expect(code).toBe(1)
  expect(out).not.toContain('banyan ready')
  const tries = out.split('\n').filter((line) => line.includes('"event":"worker-died"'))
  expect(tries.length).toBeGreaterThanOrEqual(10)
  expect(tries.length).toBeLessThanOrEqual(20)
})

test('a crash loop that begins later ends it too', async () => {
  const code = `export default (ctx, next) => next()
setTimeout(() => process.exit(7), 500)`
  const { code: exit, out, err } = await serve(['--middleware', moduleOf(code)])
  expect(out).toContain('banyan ready')
  expect(exit).toBe(1)
  expect(err).toBe('banyan: workers exit right after starting, the last one with: exit code 7\n')
})

test('what a worker needs and can not have is one line, at once', async () => {
  const { code, out, err } = await serve(['--middleware', moduleOf('throw new Error("no release")')])
  expect(err).toMatch(/^banyan: --middleware .*: no release\n$/)
  expect({ code, out }).toEqual({ code: 1, out: '' })
})

test('a primary that is killed takes its workers with it', async () => {
  const banyan = await banyanWith(2, { table: tableFor(await upstreamNamed('main')) })
  const workers = await workersOf(banyan)
  expect(workers.map(({ pid }) => lives(pid))).toEqual([true, true])
  await banyan.program.kill()
  await expect.poll(() => workers.map(({ pid }) => lives(pid))).toEqual([false, false])
})
