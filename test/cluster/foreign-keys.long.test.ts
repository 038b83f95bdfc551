/**
 * A key of the cluster that another program has written: it is named to the operator with what to do, wherever somebody may look, and
 * all is well again when that was done.
 */
import { afterEach, expect, test } from 'vitest'
import type { Banyan } from '../support/banyan.ts'
import { startRedis } from '../support/redis.ts'
import { ask, clusterTable, left, member, type Said, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

/** A key, what uses it, and what can't be done meanwhile. */
interface Row {
  readonly key: string
  readonly kind: string
  readonly use?: () => Promise<unknown>
  readonly refused?: () => Promise<Said>
  /** Another key that goes with it. */
  readonly gone?: string
}

test('each is named, and heals when it was removed', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const ramp = 'path: /a }, to: modern, sticky: [header:x-key], ramp: { steps: [50], hold: 1h },'
  // A large table takes turns.
  const table = `${(await clusterTable()).replace('path: /a }, to: modern,', ramp)}# ${'x'.repeat(8_000)}\n`
  const key = (name: string): string => `banyan:{shop}:${name}`
  // What is read at the start only.
  for (const space of ['evidence', 'discovered', 'progress']) await redis.command('SADD', key(`records:${space}`), 'x')
  const one = await member(table, redis.url)
  const two = await member(table, redis.url)
  const reasons = async (): Promise<string> => {
    const both = await Promise.all([one, two].map((at) => ask(at, 'GET', '/readyz')))
    return both.flatMap(({ json }) => json.reasons).join('\n')
  }
  for (const space of ['evidence', 'discovered', 'progress']) {
    const own = key(`records:${space}`)
    await soon(async () => expect(await reasons()).toContain(`${own} in its Redis is a set, where banyan has a hash`))
    await redis.command('DEL', own)
    await soon(async () => expect(await reasons(), own).not.toContain(`${own} in its Redis is a set`))
  }

  const edit = (at: Banyan): Promise<Said> => setPercent(at, 'b', Math.floor(Math.random() * 100))
  const [, server = ''] = /(localhost:\d+)/.exec(table) ?? []
  const drain = (): Promise<Said> => ask(one, 'POST', `/upstreams/legacy/servers/${encodeURIComponent(server)}/drain`)
  const start = (at: Banyan) => () => ask(at, 'POST', '/routes/a/ramp/start')
  const inTurn = async (): Promise<void> => {
    await ask(one, 'POST', '/routes/a/ramp/start')
    await ask(two, 'POST', '/routes/a/ramp/abort')
    await ask(one, 'POST', '/routes/a/ramp/abort')
  }
  const rows: Row[] = [
    { key: 'table', kind: 'hash', refused: () => edit(one) },
    { key: 'revisions', kind: 'hash', use: () => edit(one), refused: () => edit(two) },
    { key: 'offers', kind: 'hash', refused: () => edit(one), gone: 'table' },
    { key: 'members', kind: 'hash' },
    { key: 'turn', kind: 'hash', use: () => edit(one) },
    { key: 'records:servers', kind: 'hash', refused: drain },
    { key: 'lease:ramps', kind: 'hash', refused: start(one) },
    { key: 'records:ramps', kind: 'hash', use: inTurn },
    { key: 'ramps-changed', kind: 'string', use: inTurn },
    { key: 'topic:ramp-counts', kind: 'stream', use: inTurn },
    { key: 'topic:servers', kind: 'stream', use: () => ask(one, 'GET', '/upstreams/legacy/servers?instances=all') },
  ]
  for (const { key: name, kind, use, refused, gone } of rows) {
    const own = key(name)
    await redis.command('DEL', own)
    await redis.command('SADD', own, 'x')
    if (gone !== undefined) await redis.command('DEL', key(gone))
    const told = `${own} in its Redis is a set, where banyan has a ${kind}: another program has written it; remove it`
    await soon(async () => {
      await use?.()
      expect(await reasons(), name).toContain(told)
    })
    const isLogged = (line: string): boolean => line.includes(`cluster shop: ${told}`)
    await Promise.race([one, two].map(({ program }) => program.line(isLogged)))
    if (refused !== undefined) {
      const said = await refused()
      expect(said, name).toMatchObject({ status: 503, json: { type: 'urn:banyan:problem:cluster-unavailable' } })
      expect(said.json.detail).toContain(own)
    }
    const remedy = new RegExp(`${own.replace(/[{}]/g, '\\$&')} .*redis-cli DEL (.*)\\)`).exec(await reasons())?.[1]
    await redis.command('DEL', ...(remedy ?? '').split(' ').map((word) => word.replaceAll('"', '')))
    await soon(async () => expect(await reasons(), name).not.toContain(own))
    await soon(async () => expect((await edit(two)).status, name).toBe(200))
  }
  await soon(async () => expect((await drain()).status).toBe(200))
  await inTurn()
  await soon(async () => expect([200, 409]).toContain((await start(two)()).status))
})

/** Reads at an instance why it is not what it should be. */
const reasonsOf = async (at: Banyan): Promise<string> => (await ask(at, 'GET', '/readyz')).json.reasons.join('\n')

test('so are those beside the records of servers, which stay in use, and the marks of revisions', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const table = await clusterTable()
  const one = await member(table, redis.url)
  const [, server = ''] = /(localhost:\d+)/.exec(table) ?? []
  const path = `/upstreams/legacy/servers/${encodeURIComponent(server)}`
  const rows: [string, string, boolean][] = [
    ['records:kept', 'hash', false],
    ['order:servers', 'zset', true],
    ['orders:servers', 'string', true],
  ]
  for (const [name, kind, isOfServers] of rows) {
    const own = `banyan:{shop}:${name}`
    await redis.command('DEL', own)
    await redis.command('SADD', own, 'x')
    if (isOfServers) {
      const said = await ask(one, 'POST', `${path}/drain`)
      expect(said).toMatchObject({ status: 503, json: { type: 'urn:banyan:problem:cluster-unavailable' } })
      expect(said.json.detail).toContain(own)
    }
    await soon(async () =>
      expect(await reasonsOf(one)).toContain(
        `${own} in its Redis is a set, where banyan has a ${kind}: another program`,
      ),
    )
    await redis.command('DEL', own)
    await soon(async () => expect(await reasonsOf(one)).not.toContain(own))
    // What was refused has not come into force since.
    expect((await ask(one, 'GET', path)).json).toMatchObject({ drained: false })
    for (const verb of ['drain', 'undrain'])
      await soon(async () => expect((await ask(one, 'POST', `${path}/${verb}`)).status).toBe(200))
  }
})

test('so are those of evidence, pins and certificates', async () => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  const pins = 'path: /a }, to: modern, sticky: [header:x-key], pinAfterWrite: 1h,'
  const table = (await clusterTable()).replace('path: /a }, to: modern,', pins)
  const key = (name: string): string => `banyan:{shop}:${name}`
  const rows: [string, string][] = [
    ...['evidence', 'discovered', 'progress'].map((name): [string, string] => [`hours:${name}`, 'zset']),
    ['topic:pins', 'stream'],
    ['lease:acme', 'hash'],
  ]
  for (const [name] of rows) await redis.command('SADD', key(name), 'x')
  const acme = ['--acme', 'shop.test', '--acme-directory', 'https://127.0.0.1:1/', '--tls', '127.0.0.1:0']
  const one = await member(table, redis.url, ['--cluster-secret', 'a secret of the test', ...acme])
  const visit = (method: string, path: string): Promise<unknown> =>
    fetch(`http://127.0.0.1:${one.port}${path}`, { method, headers: { 'x-key': 'k' } }).then((said) => said.text())
  await soon(async () => {
    for (const [method, path] of [
      ['POST', '/a'],
      ['GET', '/b'],
      ['GET', '/known'],
    ] as const)
      await visit(method, path)
    const reasons = await reasonsOf(one)
    for (const [name, kind] of rows)
      expect(reasons).toContain(
        `cluster shop: ${key(name)} in its Redis is a set, where banyan has a ${kind}: another program has written it; remove it`,
      )
  })
  for (const [name] of rows) {
    await one.program.line((line) => line.includes(`cluster shop: ${key(name)} in its Redis is a set`))
    await redis.command('DEL', key(name))
  }
  await soon(async () => expect(await reasonsOf(one)).not.toContain('in its Redis is a set'))
})
