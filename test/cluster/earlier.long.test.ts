/**
 * An instance of the release before (commit 997629a), out of git, beside two of this one, of which one is of a cluster: with one table
 * file, one Redis, clients and edits at all of them. Neither harms the other.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { earlierProgram, hasEarlier } from '../../bench/harness/earlier.ts'
import type { Banyan } from '../support/banyan.ts'
import { type Load, startLoad } from '../support/load.ts'
import { startProgram } from '../support/process.ts'
import { startRedis } from '../support/redis.ts'
import { scriptedUpstream } from '../support/upstream.ts'
import { ask, left, percents, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

/** Starts an instance of a checkout on a table file. */
async function started(main: string, tableFile: string, args: string[]): Promise<Banyan> {
  const free = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--access-log', 'none', '--workers', '0']
  const program = startProgram([main, 'serve', '--table', tableFile, ...free, ...args])
  left.push(() => program.stop())
  const line = await program.line((one) => one.startsWith('banyan ready '))
  return {
    port: Number(/^banyan ready http:\/\/[^ ]*:(\d+)/.exec(line)?.[1]),
    adminPort: Number(/\badmin http:\/\/[^ ]*:(\d+)/.exec(line)?.[1]),
    ...{ tlsPort: null, pid: program.pid, tableFile, log: program.log, program, stop: () => program.stop() },
  }
}

test.skipIf(!hasEarlier())(
  'an instance of the release before and those of this one use one Redis and one table',
  async () => {
    const redis = await startRedis()
    left.push(() => redis.stop())
    // Each page has a version, which a POST to it raises.
    const versions = new Map<string, number>()
    const upstream = await scriptedUpstream(async (request) => {
      const { method, target } = request
      await request.body().catch(() => {})
      const version = (versions.get(target) ?? 0) + (method === 'POST' ? 1 : 0)
      versions.set(target, version)
      const body = `${target} ${version}`
      const fresh = method === 'GET' ? 'Cache-Control: max-age=60\r\n' : ''
      await request.send(`HTTP/1.1 200 OK\r\n${fresh}Content-Length: ${body.length}\r\n\r\n${body}`).catch(() => {})
    })
    left.push(() => upstream.stop())
    const folder = mkdtempSync(join(tmpdir(), 'banyan-earlier-'))
    left.push(() => rmSync(folder, { recursive: true, force: true }))
    const tableFile = join(folder, 'routes.yaml')
    writeFileSync(
      tableFile,
      `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${upstream.port}"] }
  modern: { servers: ["http://localhost:${upstream.port}"] }
default: legacy
routes:
  - { id: a, match: { path: /a }, to: modern, percent: 0 }
  - { id: b, match: { path: /b }, to: modern, percent: 0 }
  - { id: pages, match: { path: "/pages/*" }, to: modern, percent: 0, cache: {} }
`,
    )
    const main = earlierProgram()
    const old = await started(main, tableFile, ['--redis', redis.url])
    const now = await started('bin/banyan.js', tableFile, ['--redis', redis.url, '--state', join(folder, 'now')])
    const clustered = await started('bin/banyan.js', tableFile, [
      ...['--redis', redis.url, '--state', join(folder, 'clustered'), '--cluster', 'shop'],
      ...['--cluster-redis', redis.url, '--follow-table', '--take-percent'],
    ])
    const all = [old, now, clustered]
    const pageOf = (n: number): string => `/pages/${n % 7}`
    const loads = all.map(
      ({ port }): Load =>
        startLoad(port, 1, (n) =>
          n % 10 === 9 ? { path: pageOf(n), method: 'POST', body: 'x' } : { path: pageOf(n) },
        ),
    )
    const more = (): Promise<unknown> => Promise.all(loads.map((load) => load.more(20)))
    await more()
    // Edits at the two that own the file in one way or the other.
    for (let n = 1; n <= 3; n++) {
      const [first, second] = n % 2 === 0 ? [old, now] : [now, old]
      expect((await setPercent(first as Banyan, 'a', n)).status).toBe(200)
      for (const at of all) await soon(async () => expect((await percents(at))[0]).toBe(n))
      expect((await setPercent(second as Banyan, 'b', n)).status).toBe(200)
      for (const at of all) await soon(async () => expect((await percents(at)).slice(0, 2)).toEqual([n, n]))
      await more()
    }
    for (const load of loads) await load.stop()
    // No error, and no bytes of another page, or of a version that was never made.
    for (const { outcomes } of loads) {
      expect(outcomes.length).toBeGreaterThan(60)
      for (const { n, status, text } of outcomes) {
        expect(status).toBe(200)
        const [, page, version] = /^(\S+) (\d+)$/.exec(text) as unknown as [string, string, string]
        expect(page).toBe(pageOf(n))
        expect(Number(version)).toBeLessThanOrEqual(versions.get(page) as number)
      }
    }
    expect(readFileSync(tableFile, 'utf8')).toMatch(/id: a.*percent: 3[\s\S]*id: b.*percent: 3/)

    // What is written at one is read at all, soon.
    for (const [n, at] of all.entries()) {
      const path = `/pages/last-${n}`
      const read = async ({ port }: Banyan): Promise<string> =>
        await (await fetch(`http://127.0.0.1:${port}${path}`)).text()
      for (const one of all) expect(await read(one)).toBe(`${path} 0`)
      await fetch(`http://127.0.0.1:${at.port}${path}`, { method: 'POST', body: 'x' })
      for (const one of all) await soon(async () => expect(await read(one)).toBe(`${path} 1`))
    }
    // So is a purge.
    for (const [n, at] of all.entries()) {
      const path = `/pages/purged-${n}`
      const read = async ({ port }: Banyan): Promise<string> =>
        await (await fetch(`http://127.0.0.1:${port}${path}`)).text()
      for (const one of all) expect(await read(one)).toBe(`${path} 0`)
      versions.set(path, 7)
      for (const one of all) expect(await read(one)).toBe(`${path} 0`)
      expect((await ask(at, 'POST', '/cache/purge', { url: path })).status).toBe(200)
      for (const one of all) await soon(async () => expect(await read(one)).toBe(`${path} 7`))
    }
    // Neither finds anything in Redis that it can't read.
    for (const at of [now, clustered]) expect(at.log.join('\n')).not.toMatch(/unreadable|WRONGTYPE|fault/)
    expect(old.log.join('\n')).not.toMatch(/unreadable|WRONGTYPE|"level":50/)
  },
)
