/**
 * Two instances on one state folder: one owns it, the other follows, refuses to change anything, and takes over when it is free.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, expect, test, vi } from 'vitest'
import { type Banyan, startBanyan } from '../support/banyan.ts'
import { startLoad } from '../support/load.ts'
import { scriptedUpstream, type UpstreamRequest } from '../support/upstream.ts'

const answering = (text: string) => (request: UpstreamRequest) =>
  request.send(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${text.length}\r\n\r\n${text}`)
const [legacy, modern] = await Promise.all([scriptedUpstream(answering('old')), scriptedUpstream(answering('new'))])
afterAll(() => Promise.all([legacy.stop(), modern.stop()]))

const TABLE = `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy.port}", "http://localhost:${legacy.port}"] }
  modern: { servers: ["http://127.0.0.1:${modern.port}"] }
default: legacy
routes:
  - { id: a, match: { path: /a }, to: modern, percent: 0, shadow: { percent: 100 } }
`

const left: (() => unknown)[] = []
afterEach(async () => {
  for (const undo of left.splice(0).reverse()) await undo()
})

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'banyan-hand-over-'))
  left.push(() => rmSync(path, { recursive: true, force: true }))
  writeFileSync(join(path, 'routes.yaml'), TABLE)
  return path
}

async function started(path: string, ...args: string[]): Promise<Banyan> {
  const banyan = await startBanyan({
    table: '',
    args: ['--table', join(path, 'routes.yaml'), ...args],
    complains: true,
  })
  left.push(() => banyan.stop())
  return banyan
}

// biome-ignore lint/suspicious/noExplicitAny: answers of every shape
async function ask(banyan: Banyan, method: string, path: string, body?: object): Promise<any> {
  const response = await fetch(`http://127.0.0.1:${banyan.adminPort}${path}`, {
    method,
    ...(body && {
      body: JSON.stringify(body),
      headers: { 'Content-Type': 'application/json', 'Banyan-Reason': 'why' },
    }),
  })
  return { status: response.status, ...((await response.json()) as object) }
}

const soon = (check: () => Promise<void>): Promise<void> => vi.waitFor(check, { timeout: 120_000, interval: 50 })
const revisions = async (banyan: Banyan) => {
  const { current, revisions: list } = await ask(banyan, 'GET', '/revisions')
  return {
    current,
    list: list.map(({ revision, etag, author, reason }: Record<string, unknown>) => ({
      revision,
      etag,
      author,
      reason,
    })),
  }
}

test.each([['kill -9'], ['SIGTERM']])('the follower serves, follows and takes over: %s', async (how) => {
  const path = folder()
  const owner = await started(path)
  const follower = await started(path, '--workers', '2')
  await follower.program.line((line) => line.includes('"event":"state"') && line.includes(`pid ${owner.pid}`))
  const load = startLoad(follower.port, 2, () => ({ path: '/a' }))

  // Nothing is changed there, and whoever tries is told where.
  const server = `/upstreams/legacy/servers/${encodeURIComponent(`localhost:${legacy.port}`)}`
  const where = `pid ${owner.pid} on .*, admin API 127.0.0.1:${owner.adminPort}`
  for (const [method, target, body] of [
    ['PATCH', '/routes/a', { percent: 100 }],
    ['DELETE', '/routes/a', undefined],
    ['POST', '/revisions/1/restore', undefined],
    ['POST', `${server}/drain`, undefined],
    ['POST', `${server}/undrain`, undefined],
    ['PUT', '/upstreams/legacy/servers/new', { url: 'http://127.0.0.1:1', ttl: '1m' }],
  ] as const) {
    const refused = await ask(follower, method, target, body)
    expect(refused, `${method} ${target}`).toMatchObject({
      ...{ status: 409, type: 'urn:banyan:problem:not-owner', detail: expect.stringMatching(where) },
    })
  }
  expect(await ask(follower, 'PATCH', '/routes/a?dryRun=true', { percent: 5 })).toMatchObject({
    status: 200,
    changed: true,
  })
  const degraded = (await ask(follower, 'GET', '/readyz')) as { ready: boolean; reasons: string[] }
  expect(degraded).toMatchObject({ ready: true, reasons: [expect.stringMatching(where)] })
  expect(readFileSync(join(path, 'routes.yaml'), 'utf8')).toBe(TABLE)

  // What the owner does is done here too: by number, author and reason.
  expect(await ask(owner, 'PATCH', '/routes/a', { percent: 40 })).toMatchObject({ status: 200 })
  await soon(async () => expect(await revisions(follower)).toEqual(await revisions(owner)))
  expect((await revisions(follower)).list[0]).toMatchObject({ revision: 2, author: 'anonymous', reason: 'why' })
  const edited = readFileSync(join(path, 'routes.yaml'), 'utf8').replace('percent: 40', 'percent: 30')
  writeFileSync(join(path, 'routes.yaml'), edited)
  await soon(async () => {
    expect((await revisions(follower)).current).toBe(3)
    expect(await revisions(follower)).toEqual(await revisions(owner))
  })
  expect(await ask(owner, 'POST', `${server}/drain`)).toMatchObject({ status: 200, drained: true })
  await soon(async () => expect(await ask(follower, 'GET', server)).toMatchObject({ drained: true }))
  const lease = { url: `http://127.0.0.1:${legacy.port}/`.slice(0, -1).replace('127.0.0.1', '127.0.0.2'), ttl: '1h' }
  expect(await ask(owner, 'PUT', '/upstreams/legacy/servers/leased', lease)).toMatchObject({ status: 201 })
  await soon(async () =>
    expect(await ask(follower, 'GET', '/upstreams/legacy/servers/leased')).toMatchObject({ status: 200 }),
  )
  expect(await ask(owner, 'DELETE', '/upstreams/legacy/servers/leased')).toMatchObject({ status: 200 })
  await soon(async () =>
    expect(await ask(follower, 'GET', '/upstreams/legacy/servers/leased')).toMatchObject({ status: 404 }),
  )
  await soon(async () =>
    expect(await ask(follower, 'GET', '/routes/a/comparisons')).toMatchObject({
      ...{
        storage: 'memory',
        problem: expect.stringMatching(`evidence is kept in memory only: .* is owned by .*${where}`),
      },
    }),
  )

  // It takes over what the owner has left.
  if (how === 'kill -9') process.kill(owner.pid, 'SIGKILL')
  else await owner.stop()
  await follower.program.line((line) => line.includes('own now'))
  await soon(async () =>
    expect(await ask(follower, 'PATCH', '/routes/a', { percent: 20 })).toMatchObject({ status: 200 }),
  )
  const after = await revisions(follower)
  expect(after.list.map(({ revision }: { revision: number }) => revision)).toEqual([4, 3, 2, 1])
  expect(await ask(follower, 'GET', server)).toMatchObject({ drained: true })
  expect(await ask(follower, 'POST', `${server}/undrain`)).toMatchObject({ status: 200, drained: false })
  await soon(async () =>
    expect(await ask(follower, 'GET', '/routes/a/comparisons')).toMatchObject({ storage: 'folder', problem: null }),
  )
  expect(await ask(follower, 'GET', '/readyz')).toMatchObject({ reasons: [] })
  await load.stop()
  expect(load.outcomes.filter(({ status }) => status !== 200)).toEqual([])
  const { comparisons } = await ask(follower, 'GET', '/routes/a/comparisons')
  await follower.stop()

  const next = await started(path)
  expect(await revisions(next)).toEqual(after)
  expect((await ask(next, 'GET', '/routes/a/comparisons')).comparisons).toBeGreaterThanOrEqual(comparisons)
})

test('an edit that its owner did not live to record is settled by whoever takes over', async () => {
  const path = folder()
  const owner = await started(path)
  const follower = await started(path)
  // As after a crash between the replacement of the table and that of the record.
  await ask(owner, 'PATCH', '/routes/a', { percent: 10 })
  await soon(async () => expect((await revisions(follower)).current).toBe(2))
  process.kill(owner.pid, 'SIGSTOP')
  const text = readFileSync(join(path, 'routes.yaml'), 'utf8').replace('percent: 10', 'percent: 11')
  writeFileSync(join(path, 'routes.yaml'), text)
  await soon(async () => expect((await revisions(follower)).current).toBe(3))
  process.kill(owner.pid, 'SIGKILL')
  await follower.program.line((line) => line.includes('own now'))
  await soon(async () =>
    expect((await revisions(follower)).list).toMatchObject([{ revision: 3, author: 'file' }, {}, {}]),
  )
  await follower.stop()
  expect(await revisions(await started(path))).toMatchObject({
    current: 3,
    list: [{ revision: 3, author: 'file' }, {}, {}],
  })
})

test('tables in one folder have an owner each', async () => {
  const path = folder()
  writeFileSync(join(path, 'other.yaml'), TABLE)
  const [one, two] = [
    await started(path),
    await startBanyan({ table: '', args: ['--table', join(path, 'other.yaml')] }),
  ]
  left.push(() => two.stop())
  expect(await ask(one, 'PATCH', '/routes/a', { percent: 1 })).toMatchObject({ status: 200 })
  expect(await ask(two, 'PATCH', '/routes/a', { percent: 1 })).toMatchObject({ status: 200 })
})
