/**
 * Servers that come and go by the admin API: in the table, under a lease, drained; and what a restart finds of them.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { FleetKeeper } from '../../../src/control/fleet/keeper.ts'
import { EMPTY_FLEET, type Fleet } from '../../../src/state/upstreams/fleet.ts'
import { type AdminRig, type AdminRigOptions, adminRig, logInto, TABLE } from '../rig.ts'

let at: AdminRig
afterEach(() => at?.close())

const GTIN = '/upstreams/gtin/servers'
const start = async (options?: AdminRigOptions): Promise<void> => {
  at = await adminRig(options)
}
const ids = async (): Promise<string[]> =>
  (await at.ask('GET', '/upstreams/gtin')).json.live.servers.map(({ id }: { id: string }) => id)
const events = (event: string) => at.lines.filter(({ fields }) => fields.event === event)

describe('in the table', () => {
  test('PUT adds a server at the end, in the shortest form, and changes no other byte', async () => {
    await start()
    const added = await at.ask('PUT', `${GTIN}/127.0.0.1:4004`, { body: { url: 'http://127.0.0.1:4004' } })
    expect([added.status, added.headers.location]).toEqual([201, `${GTIN}/127.0.0.1%3A4004`])
    expect(added.json).toMatchObject({ revision: 2, id: '127.0.0.1:4004', weight: 1, drained: false, lease: null })
    const last = '      - { url: http://127.0.0.1:4003,   weight: 2 }\n'
    expect(await at.text()).toBe(TABLE.replace(last, `${last}      - http://127.0.0.1:4004\n`))
    await at.ask('PUT', `${GTIN}/blue`, { body: { url: 'http://127.0.0.1:4005', weight: 3 } })
    expect(await at.text()).toContain('      - { url: http://127.0.0.1:4005, weight: 3, id: blue }\n')
    expect(await ids()).toEqual(['127.0.0.1:4002', '127.0.0.1:4003', '127.0.0.1:4004', 'blue'])
    expect(at.history.get(3)).toMatchObject({ author: 'anonymous' })
  })

  test('PUT replaces it where it stands, PATCH changes its weight, DELETE takes its line', async () => {
    await start()
    const put = await at.ask('PUT', `${GTIN}/127.0.0.1:4003`, { body: { url: 'http://127.0.0.1:4003', weight: 5 } })
    expect(put.status).toBe(200)
    expect(await at.text()).toBe(TABLE.replace('weight: 2', 'weight: 5'))
    expect((await at.ask('PATCH', `${GTIN}/127.0.0.1:4003`, { body: { weight: 2 } })).json.weight).toBe(2)
    expect(await at.text()).toBe(TABLE)
    expect((await at.ask('PATCH', `${GTIN}/127.0.0.1:4002`, { body: { weight: 4 } })).json.weight).toBe(4)
    expect(await at.text()).toBe(
      TABLE.replace('- http://127.0.0.1:4002', '- { url: http://127.0.0.1:4002, weight: 4 }'),
    )
    await at.ask('PATCH', `${GTIN}/127.0.0.1:4002`, { body: { weight: null } })
    const removed = await at.ask('DELETE', `${GTIN}/127.0.0.1:4003`)
    expect(removed.json).toMatchObject({ removed: '127.0.0.1:4003', note: null })
    expect(await at.text()).not.toContain('4003')
    expect(await ids()).toEqual(['127.0.0.1:4002'])
  })

  test.each([
    [{ url: 'http://a.test', weight: 0 }, [{ pointer: '/weight', detail: 'invalid value 0: must be at least 1' }]],
    [
      { url: 'http://a.test', weight: '2' },
      [{ pointer: '/weight', detail: 'expected number, received string', hint: 'write 2, not "2"' }],
    ],
    [{ weight: 2 }, [{ pointer: '/url', detail: 'missing required key' }]],
    [
      { url: 'http://a.test', wieght: 2 },
      [{ pointer: '/wieght', detail: 'unknown member', hint: 'did you mean `weight`?' }],
    ],
    [[2], [{ pointer: '', detail: 'expected an object' }]],
  ])('what is wrong with the body %j is said in the words of the table', async (body, errors) => {
    await start()
    const { status, json } = await at.ask('PUT', `${GTIN}/blue`, { body })
    expect([status, json.errors]).toEqual([422, errors])
    expect(await at.text()).toBe(TABLE)
  })

  test('a list in brackets over lines gets and loses a line, with every comment', async () => {
    const list = 'servers: [\n      http://127.0.0.1:4001, # first\n      http://127.0.0.1:4009 # second\n    ]'
    const table = TABLE.replace('servers: [ http://127.0.0.1:4001 ]', list)
    expect(table).not.toBe(TABLE)
    at = await adminRig({ text: table })
    await at.ask('PUT', '/upstreams/legacy/servers/127.0.0.1:4010', { body: { url: 'http://127.0.0.1:4010' } })
    expect(await at.text()).toBe(table.replace(':4009 # second', ':4009, # second\n      http://127.0.0.1:4010'))
    await at.ask('DELETE', '/upstreams/legacy/servers/127.0.0.1:4010')
    expect(await at.text()).toBe(table)
  })

  test('an id stays when the URL moves', async () => {
    await start()
    await at.ask('PUT', `${GTIN}/blue`, { body: { url: 'http://127.0.0.1:5002' } })
    await at.ask('PUT', `${GTIN}/blue`, { body: { url: 'http://127.0.0.1:5003' } })
    expect(await at.text()).toContain('- { url: http://127.0.0.1:5003, id: blue }')
    await at.ask('PATCH', `${GTIN}/blue`, { body: { url: 'http://127.0.0.1:5004' } })
    expect(await at.text()).toContain('- { url: http://127.0.0.1:5004, id: blue }')
    expect(await ids()).toEqual(['127.0.0.1:4002', '127.0.0.1:4003', 'blue'])
  })

  test('what is refused, and why', async () => {
    await start()
    const refused = async (method: string, path: string, body?: object) => {
      const { status, json } = await at.ask(method, path, body === undefined ? {} : { body })
      return [status, json.type.split(':').at(-1), json.errors?.[0]?.pointer ?? json.detail]
    }
    const url = 'http://127.0.0.1:4009'
    expect(await refused('PUT', '/upstreams/gtni/servers/a', { url })).toEqual([
      404,
      'no-such-upstream',
      'Unknown upstream "gtni": did you mean `gtin`?',
    ])
    expect(await refused('DELETE', `${GTIN}/127.0.0.1:402`)).toEqual([404, 'no-such-server', expect.any(String)])
    expect(await refused('POST', `${GTIN}/nobody/drain`)).toEqual([404, 'no-such-server', expect.any(String)])
    expect(await refused('PATCH', `${GTIN}/nobody`, { weight: 1 })).toEqual([404, 'no-such-server', expect.any(String)])
    expect(await refused('PUT', `${GTIN}/a`, {})).toEqual([422, 'invalid', '/url'])
    expect(await refused('PUT', `${GTIN}/a`, { url: 'ftp://a' })).toEqual([422, 'invalid', '/url'])
    expect(await refused('PUT', `${GTIN}/127.0.0.1:4002`, { url })).toEqual([422, 'invalid', '/url'])
    expect(await refused('PATCH', `${GTIN}/127.0.0.1:4002`, { url })).toEqual([422, 'invalid', '/url'])
    expect(await refused('PUT', `${GTIN}/a`, { url, weight: 0 })).toEqual([422, 'invalid', '/weight'])
    expect(await refused('PUT', `${GTIN}/a`, { url, ttl: '10ms' })).toEqual([422, 'invalid', '/ttl'])
    expect(await refused('PUT', `${GTIN}/a`, { url, wieght: 1 })).toEqual([422, 'invalid', '/wieght'])
    expect(await refused('PUT', `${GTIN}/a`, { url, id: 'b' })).toEqual([422, 'invalid', '/id'])
    expect(await refused('PUT', `${GTIN}/a%20b`, { url })).toEqual([422, 'invalid', '/id'])
    expect(await refused('PATCH', `${GTIN}/127.0.0.1:4003`, { weight: -1 })).toEqual([
      422,
      'invalid',
      expect.any(String),
    ])
    expect(await refused('PATCH', `${GTIN}/127.0.0.1:4003`, { id: 'x' })).toEqual([422, 'invalid', '/id'])
    expect(await refused('DELETE', '/upstreams/legacy/servers/127.0.0.1:4001')).toEqual([
      409,
      'last-server',
      '127.0.0.1:4001 is the only server of legacy in the table: add another one first, or drain it.',
    ])
    expect(await at.text()).toBe(TABLE)
  })

  test('is an edit as any other: If-Match, dry run, reason', async () => {
    await start()
    const body = { url: 'http://127.0.0.1:4004' }
    const dry = await at.ask('PUT', `${GTIN}/127.0.0.1:4004?dryRun=true`, { body })
    expect(dry.json).toMatchObject({ dryRun: true, changed: true })
    expect(dry.json.diff).toContain('+      - http://127.0.0.1:4004')
    const outdated = await at.ask('PUT', `${GTIN}/127.0.0.1:4004`, { body, headers: { 'If-Match': '"7-0"' } })
    expect(outdated.status).toBe(412)
    expect(await at.text()).toBe(TABLE)
    const etag = dry.headers.etag as string
    const headers = { 'If-Match': etag, 'Banyan-Reason': 'more of them' }
    expect((await at.ask('PUT', `${GTIN}/127.0.0.1:4004`, { body, headers })).status).toBe(201)
    expect(at.history.get(2)).toMatchObject({ reason: 'more of them' })
    expect(events('admin-write').at(-1)?.fields).toMatchObject({ path: `${GTIN}/127.0.0.1:4004`, revision: 2 })
  })
})

describe('under a lease', () => {
  const body = { url: 'http://127.0.0.1:4010', weight: 2, ttl: '30s' }

  test('a server stands beside the table, and is shown as leased; repeating the PUT extends it', async () => {
    await start()
    const first = await at.ask('PUT', `${GTIN}/ten`, { body })
    expect([first.status, first.headers.location]).toEqual([201, `${GTIN}/ten`])
    expect(first.json).toMatchObject({
      id: 'ten',
      weight: 2,
      lease: { ttl: '30s', endsAt: '1970-01-01T00:01:31.000Z' },
    })
    expect((await at.ask('PUT', `${GTIN}/ten`, { body })).status).toBe(200)
    expect(events('admin-fleet'), 'a heartbeat is no event').toHaveLength(1)
    expect((await at.ask('PUT', `${GTIN}/ten`, { body: { ...body, weight: 3 } })).json.live[0].weight).toBe(3)
    expect(events('admin-fleet').map(({ message }) => message)).toEqual([
      'anonymous registered server ten of gtin',
      'anonymous changed server ten of gtin',
    ])
    const { json } = await at.ask('GET', '/upstreams/gtin')
    expect(json.servers).toHaveLength(2)
    expect(json.live.servers.map(({ id, leased }: { id: string; leased: boolean }) => [id, leased])).toEqual([
      ['127.0.0.1:4002', false],
      ['127.0.0.1:4003', false],
      ['ten', true],
    ])
    expect(await at.text()).toBe(TABLE)
    expect((await at.ask('DELETE', `${GTIN}/ten`)).json).toMatchObject({ removed: 'ten', revision: 1 })
    expect(await ids()).toEqual(['127.0.0.1:4002', '127.0.0.1:4003'])
  })

  test('one that is not extended lapses into removal', async () => {
    await start()
    await at.ask('PUT', `${GTIN}/ten`, { body: { ...body, ttl: '1s' } })
    await at.ask('PUT', `${GTIN}/eleven`, { body: { ...body, url: 'http://127.0.0.1:4011' } })
    while (events('lease-lapsed').length === 0) await turn()
    expect(events('lease-lapsed')[0]).toMatchObject({ level: 'warn', fields: { upstream: 'gtin', server: 'ten' } })
    expect(await ids()).toEqual(['127.0.0.1:4002', '127.0.0.1:4003', 'eleven'])
  })

  test('table and lease do not mix by accident', async () => {
    await start()
    await at.ask('PUT', `${GTIN}/ten`, { body })
    const refused = async (path: string, said: object, method = 'PUT') =>
      (await at.ask(method, path, { body: said })).json
    const same = { ...body, url: 'http://127.0.0.1:4002' }
    expect(await refused(`${GTIN}/127.0.0.1:4002`, same)).toMatchObject({ type: 'urn:banyan:problem:server-in-table' })
    expect(await refused(`${GTIN}/twin`, body)).toMatchObject({ errors: [{ pointer: '/url' }] })
    expect(await refused(`${GTIN}/ten?dryRun=true`, body)).toMatchObject({ type: 'urn:banyan:problem:malformed-query' })
    expect(await refused(`${GTIN}/ten`, { weight: 5 }, 'PATCH')).toMatchObject({
      type: 'urn:banyan:problem:server-leased',
    })
    const { ttl: _, ...settled } = body
    const promoted = await at.ask('PUT', `${GTIN}/ten`, { body: settled })
    expect(promoted.json, 'without ttl it moves into the table').toMatchObject({ id: 'ten', lease: null, revision: 2 })
    expect(await ids()).toEqual(['127.0.0.1:4002', '127.0.0.1:4003', 'ten'])
  })
})

describe('drained', () => {
  test('a server takes nothing new, by the answer already, until it is undrained', async () => {
    await start()
    const drained = await at.ask('POST', `${GTIN}/127.0.0.1:4002/drain`)
    expect(drained.json).toMatchObject({ drained: true, active: 0, note: null, live: [{ state: 'drained' }] })
    expect((await at.ask('GET', `${GTIN}`)).json.servers.map((one: { drained: boolean }) => one.drained)).toEqual([
      true,
      false,
    ])
    await at.ask('POST', `${GTIN}/127.0.0.1:4002/drain`)
    expect(events('admin-fleet')).toHaveLength(1)
    const last = await at.ask('POST', `${GTIN}/127.0.0.1:4003/drain?wait=10s`)
    expect(last.json.note).toMatch(/^no server of gtin is in use: /)
    expect((await at.ask('POST', `${GTIN}/127.0.0.1:4002/undrain`)).json).toMatchObject({
      drained: false,
      live: [{ state: 'up' }],
    })
    for (const query of ['?wait=soon', '?wait=11m', '?wiat=1s']) {
      expect((await at.ask('POST', `${GTIN}/127.0.0.1:4002/drain${query}`)).status, query).toBe(400)
    }
    expect(await at.text()).toBe(TABLE)
  })

  test('a server that goes and comes back is a new one', async () => {
    await start()
    await at.ask('POST', `${GTIN}/127.0.0.1:4003/drain`)
    await at.ask('DELETE', `${GTIN}/127.0.0.1:4003`)
    await at.ask('PUT', `${GTIN}/127.0.0.1:4003`, { body: { url: 'http://127.0.0.1:4003' } })
    expect((await at.ask('GET', `${GTIN}/127.0.0.1:4003`)).json.drained).toBe(false)
  })

  test('an edit of the table leaves it drained', async () => {
    await start()
    await at.ask('POST', `${GTIN}/127.0.0.1:4003/drain`)
    await at.ask('PATCH', '/routes/search', { body: { percent: 50 } })
    await at.ask('PATCH', `${GTIN}/127.0.0.1:4003`, { body: { weight: 7 } })
    expect((await at.ask('GET', `${GTIN}/127.0.0.1:4003`)).json).toMatchObject({
      drained: true,
      live: [{ state: 'drained' }],
    })
  })
})

describe('over a restart', () => {
  /** What a keeper that starts now on the rig's folder tells the data plane. */
  async function restarted(): Promise<{ fleet: Fleet; complaints: string[] }> {
    const lines: Parameters<typeof logInto>[0] = []
    let fleet = EMPTY_FLEET
    const keeper = new FleetKeeper({
      live: at.live,
      log: logInto(lines),
      folder: at.folder,
      dnsServers: [],
      now: () => 0,
      chance: () => 0,
    })
    keeper.start((known) => {
      fleet = known
    })
    keeper.close()
    return { fleet, complaints: lines.map(({ message }) => message) }
  }

  test('drained and leased servers are what they were', async () => {
    await start({ keeps: 'disk' })
    await at.ask('PUT', `${GTIN}/ten`, { body: { url: 'http://127.0.0.1:4010', weight: 2, ttl: '30s' } })
    await at.ask('POST', `${GTIN}/127.0.0.1:4002/drain`)
    expect(await restarted()).toMatchObject({
      fleet: {
        gtin: { drained: ['127.0.0.1:4002'], leased: [{ id: 'ten', url: 'http://127.0.0.1:4010', weight: 2 }] },
      },
      complaints: [],
    })
    await at.ask('DELETE', `${GTIN}/ten`)
    await at.ask('POST', `${GTIN}/127.0.0.1:4002/undrain`)
    expect((await restarted()).fleet).toEqual(EMPTY_FLEET)
  })

  test('a damaged file is put aside, and told of', async () => {
    await start({ keeps: 'disk' })
    await at.ask('POST', `${GTIN}/127.0.0.1:4002/drain`)
    const path = join(at.folder, 'fleet.json')
    const text = await readFile(path, 'utf8')
    for (const damaged of [text.slice(0, -10), '{}', text.replace('"version": 1', '"version": 2'), '\u0000']) {
      await writeFile(path, damaged)
      const { fleet, complaints } = await restarted()
      expect(fleet).toEqual(EMPTY_FLEET)
      expect(complaints).toEqual([
        `${path} is corrupt, moved to ${path}.damaged: starting without drained and leased servers`,
      ])
      expect(await readFile(`${path}.damaged`, 'utf8')).toBe(damaged)
    }
  })

  test('a folder that can not be written to stops nothing, and shows', async () => {
    await start({ keeps: 'disk' })
    await writeFile(join(at.folder, 'fleet.json.new'), '')
    const keeper = new FleetKeeper({
      live: at.live,
      log: logInto(at.lines),
      folder: join(at.path, 'x'),
      dnsServers: [],
      now: () => 0,
      chance: () => 0,
    })
    let fleet = EMPTY_FLEET
    keeper.start((known) => {
      fleet = known
    })
    await keeper.setDrained('gtin', '127.0.0.1:4002', true)
    keeper.close()
    expect(fleet.gtin?.drained).toEqual(['127.0.0.1:4002'])
    expect(keeper.problem).toMatch(/^drained and leased servers are not stored on disk: ENOTDIR/)
  })
})
