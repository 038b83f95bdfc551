/**
 * The history on the command line, against a running admin API: what changed and who did it, undoing one change of several,
 * restoring with a word, keeping; a file compared and applied.
 */
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { AdminClient } from '../../src/cli/admin-client.ts'
import { tokenOf } from '../../src/control/access/tokens.ts'
import { removeRoute } from '../../src/control/table/edits.ts'
import { type AdminRig, adminRig, TABLE } from '../control/rig.ts'
import { banyan, type Surroundings } from './rig.ts'

const TOKENS = ['anna', 'bob'].map((name) => tokenOf(name, `the-secret-of-${name}`))
const NOW = 3 * 3_600_000

let at: AdminRig

beforeEach(async () => {
  at = await adminRig({ tokens: TOKENS, keeps: 'disk' })
})
afterEach(() => at.close())

const as =
  (who: string) =>
  (words: readonly string[], more: Surroundings = {}) =>
    banyan(words, {
      now: () => NOW,
      ...more,
      env: { BANYAN_ADMIN: `127.0.0.1:${at.port}`, BANYAN_TOKEN: `the-secret-of-${who}` },
    })
const anna = as('anna')
const bob = as('bob')

/** Three changes of today. */
async function day(): Promise<void> {
  await anna(['set', 'gtin-lookup', '25', '--reason', 'p95 is fine'])
  await bob(['set', 'search', '50'])
  await anna(['set', 'reviews', '10', '--reason', 'the first clients'])
}

describe('revisions', () => {
  test('say who changed what, when and why', async () => {
    await day()
    const { out } = await anna(['revisions'])
    expect(out).toBe(
      [
        'REVISION   AGE  BY    CHANGED                      REASON',
        '4 *         2h  anna  reviews percent none -> 10   the first clients',
        '3           2h  bob   search percent 100 -> 50',
        '2           2h  anna  gtin-lookup percent 5 -> 25  p95 is fine',
        '1           2h  file  -',
        '',
      ].join('\n'),
    )
    expect((await anna(['revisions', '--since', '1970-01-01T00:00:02Z', '--author', 'anna'])).out).toContain(
      '\n2 revisions: 2 by anna\n',
    )
    expect((await anna(['revisions', '--since', 'yesterday'])).out).toContain(
      '4 revisions: 2 by anna, 1 by bob, 1 by file',
    )
    expect((await anna(['revisions', '--route', 'search', '--since', '1s'])).out).toBe('no such revisions\n')
    expect((await anna(['revisions', '4', '--against', '2'])).out).toMatch(
      /compared with revision 2\n[\s\S]*percent: 50[\s\S]*percent: 10/,
    )
  })

  test.each([
    [['revisions', '3', '--since', '1d'], '--since is for the list: leave the number out'],
    [['revisions', '--since', 'lately'], '--since lately: expected a duration such as 30s'],
    [['revisions', '--since', '2026-13-45'], '--since 2026-13-45: expected a time such as 2026-11-29T08:00'],
    [['revisions', '--text'], '--against and --text need the number of a revision'],
    [['revisions', '--output', 'yaml'], '--output yaml: must be wide or json; usage: banyan revisions [NUMBER]'],
    [['keep', 'one'], "invalid revision 'one': expected a number"],
    [['servers', 'drain', 'gtin', 'x', '--watch'], expect.stringContaining('--watch is for what is listed')],
    [['ramp', 'start', 'x', '-w'], expect.stringContaining('--watch is for what is listed')],
    [['top', '--sort', 'name'], '--sort name: must be one of rate, errors, p95'],
    [['top', '--every', '1ms'], '--every: at least 500ms'],
  ])('%j: exit 2', async (words, told) => {
    const { code, err } = await anna(words)
    expect([code, err.replace(/^banyan: /, '').trimEnd()]).toEqual([2, told])
  })

  test('steps of one author with one reason are one line, with --all each', async () => {
    for (const percent of ['10', '20', '30']) await anna(['set', 'gtin-lookup', percent])
    await anna(['set', 'gtin-lookup', '40', '--reason', 'enough'])
    const { out } = await anna(['revisions'])
    expect(out).toMatch(/^5 \* +2h {2}anna {2}gtin-lookup percent 30 -> 40 {2}enough$/m)
    expect(out).toMatch(/^2-4 +2h {2}anna {2}gtin-lookup percent 5 -> 30$/m)
    expect((await anna(['revisions', '--all'])).out).toMatch(/^3 +2h {2}anna {2}gtin-lookup percent 10 -> 20$/m)
  })

  test('in a terminal of 80 columns nothing is wider; -o wide has all', async () => {
    await anna([
      'set',
      'gtin-lookup',
      '25',
      '--reason',
      'a reason that takes more room than a terminal has in one line: p95, errors',
    ])
    const terminal = () => ({ columns: 80, rows: 24 })
    const narrow = (await anna(['revisions'], { terminal })).out.split('\n')
    expect(Math.max(...narrow.map((line) => [...line].length))).toBe(80)
    // Of what changed the values are told, whatever else is cut.
    expect(narrow[1]).toMatch(/gtin-lo…?.* 5 -> 25 {2}a reason .*…$/)
    const { out } = await anna(['revisions', '-o', 'wide'], { terminal })
    expect(out).toContain('in one line: p95, errors')
    expect(out).toContain('1970-01-01T00:00:02.000Z')
    expect(JSON.parse((await anna(['revisions', '-o', 'json'])).out).current).toBe(2)
  })
})

describe('revert', () => {
  test('undoes one of three, and says what', async () => {
    await day()
    expect((await bob(['revert', '2', '--dry-run'])).out).toContain('nothing was changed (dry run)')
    expect(await bob(['revert', '2', '--reason', 'too slow'])).toEqual({
      code: 0,
      out: 'revision 2 undone as revision 5\n  gtin-lookup: percent 25 -> 5\n',
      err: '',
    })
    expect((await bob(['revert', '2'])).out).toBe('no change: revision 2 is undone already (revision 5)\n')
    expect((await anna(['revisions'])).out).toMatch(/^5 \* .* bob +gtin-lookup percent 25 -> 5 +too slow$/m)
  })

  test('a conflict names both sides: exit 1', async () => {
    await day()
    await bob(['set', 'gtin-lookup', '40'])
    expect(await anna(['revert', '2'])).toEqual({
      code: 1,
      out: '',
      err: 'banyan: revision 2 made routes.gtin-lookup.percent 25 (before: 5), and it was made 40 by bob in revision 5; nothing was changed\n',
    })
    const { out } = await anna(['revert', '2', '--json'])
    expect(JSON.parse(out).conflicts[0].since).toEqual({ revision: 5, author: 'bob' })
    expect((await anna(['revert', '1'])).err).toBe(
      'banyan: what revision 1 changed is not known: it is the first one\n',
    )
  })
})

describe('restore', () => {
  test('of what takes back others too needs a word', async () => {
    await day()
    const { code, err } = await anna(['restore', '1'])
    expect([code, at.live.current.number]).toEqual([1, 4])
    expect(err).toBe(
      [
        'banyan: restoring revision 1 takes back 3 revisions:',
        '  4 by anna: reviews percent none -> 10 (the first clients)',
        '  3 by bob: search percent 100 -> 50',
        '  2 by anna: gtin-lookup percent 5 -> 25 (p95 is fine)',
        '--yes restores it anyway; banyan revert N undoes one of them and leaves the others',
        '',
      ].join('\n'),
    )
    const asked: string[] = []
    const ask = (answer: string) => async (question: string) => {
      asked.push(question)
      return answer
    }
    expect((await anna(['restore', '1'], { ask: ask('') })).code).toBe(1)
    expect(asked[0]).toMatch(/3 by bob[\s\S]*restore it anyway\? \[y\/N\] $/)
    expect(at.live.current.number).toBe(4)
    expect((await anna(['restore', '1', '--dry-run'])).out).toContain('would take back 3 revisions:')
    expect((await anna(['restore', '1'], { ask: ask('y') })).out).toMatch(
      /^revision 1 restored as revision 5\ntook back 3 /,
    )
    expect(await at.text()).toBe(TABLE)
    expect((await bob(['restore', '4', '--yes'])).out).toContain('restored as revision 6')
  })

  test('what somebody changes while one is asked is not taken back unseen', async () => {
    await day()
    const ask = async () => {
      await bob(['set', 'search', '60'])
      return 'yes'
    }
    expect(await anna(['restore', '1'], { ask })).toMatchObject({ code: 5, out: '' })
    expect(at.live.current.number).toBe(5)
  })

  test('of one’s own, or of the newest alone, needs none', async () => {
    await anna(['set', 'gtin-lookup', '25'])
    await anna(['set', 'reviews', '10'])
    expect((await anna(['restore', '1'])).code).toBe(0)
    await bob(['set', 'search', '50'])
    expect((await anna(['restore', '4'])).out).toBe(
      'revision 4 restored as revision 6\ntook back 1 revision:\n  5 by bob: search percent 100 -> 50\n',
    )
  })
})

test('keep marks a revision, and takes the mark away', async () => {
  await day()
  expect((await anna(['keep', '2', '--reason', 'before the season'])).out).toBe('revision 2 is kept\n')
  expect((await anna(['revisions'])).out).toMatch(/^2 kept /m)
  expect((await anna(['revisions', '2'])).out).toContain('kept by anna: before the season\n')
  expect((await anna(['keep', '2', '--off'])).out).toBe('revision 2 is no longer marked\n')
  expect(await anna(['keep', '9'])).toMatchObject({
    code: 1,
    err: expect.stringContaining('revision 9 does not exist'),
  })
})

describe('diff and apply', () => {
  const file = (text: string) => ({ files: { 'new.yaml': text } })

  test('diff: 0 without differences, 1 with, 2 for a file that is invalid or is not there', async () => {
    expect(await anna(['diff', 'new.yaml'], file(TABLE))).toEqual({ code: 0, out: '', err: '' })
    const changed = TABLE.replace('[GET, HEAD]', '[GET]')
    const { code, out } = await anna(['diff', 'new.yaml'], file(changed))
    expect([code, out]).toEqual([1, expect.stringContaining('+      methods: [GET]\n')])
    expect(JSON.parse((await anna(['diff', 'new.yaml', '--json'], file(changed))).out)).toMatchObject({
      changed: true,
      kept: [],
    })
    const invalid = await anna(['diff', 'new.yaml'], file(TABLE.replace('to: gtin', 'to: gtni')))
    expect(invalid).toMatchObject({ code: 2, err: expect.stringContaining('did you mean `gtin`?') })
    expect((await anna(['diff', 'nowhere.yaml'])).code).toBe(2)
    expect((await banyan(['diff', 'new.yaml', '--admin', '127.0.0.1:1'], file(TABLE))).code).toBe(3)
  })

  test('the percents that are live stay, and that is said; --take-percent takes those of the file', async () => {
    await anna(['set', 'gtin-lookup', '50'])
    const changed = TABLE.replace('[GET, HEAD]', '[GET]')
    const said = 'gtin-lookup: percent stays 50 (the file says 5; --take-percent takes it)\n'
    expect(await anna(['diff', 'new.yaml'], file(TABLE))).toEqual({ code: 0, out: '', err: said })
    expect(await anna(['apply', 'new.yaml', '--reason', 'release 41'], file(changed))).toEqual({
      code: 0,
      out: 'applied as revision 3\n  gtin-lookup: match { path: /stores/:storeId/gtins/:gtin, methods: [GET, HEAD] } -> { path: /stores/:storeId/gtins/:gtin, methods: [GET] }\n',
      err: said,
    })
    expect(await at.text()).toBe(changed.replace('percent: 5 ', 'percent: 50 '))
    expect((await anna(['apply', 'new.yaml'], file(changed))).out).toBe('no changes (revision 3)\n')
    expect((await anna(['apply', 'new.yaml', '--take-percent'], file(changed))).out).toContain(
      'gtin-lookup: percent 50 -> 5',
    )
    expect(await at.text()).toBe(changed)
  })

  test('a table of many changes fills no screen: 20 are listed, --json has all', async () => {
    const routes = (percent: number): string =>
      Array.from(
        { length: 30 },
        (_, n) => `  - { id: r${n}, match: { path: /r${n} }, to: gtin, percent: ${percent} }\n`,
      ).join('')
    const many = TABLE.replace('routes:\n', `routes:\n${routes(5)}`)
    const { out } = await anna(['apply', 'new.yaml'], file(many))
    expect(out.split('\n')).toHaveLength(1 + 20 + 1 + 1)
    expect(out).toMatch(/^applied as revision 2\n {2}r0: added\n/)
    expect(out).toMatch(/\n {2}r19: added\n {2}and 10 more: banyan revisions 2\n$/)
    expect((await anna(['revisions', '2'])).out).toContain('r29')
    for (const { id } of JSON.parse((await anna(['routes', '--json'])).out).routes.slice(0, 30))
      await anna(['set', id, '6'])
    const kept = await anna(['apply', 'new.yaml'], file(`${many}# more\n`))
    expect(kept.err.trimEnd().split('\n')).toHaveLength(21)
    expect(kept.err).toMatch(/\nand 10 more percents stay: --json lists all\n$/)
    expect(JSON.parse((await anna(['diff', 'new.yaml', '--json'], file(many))).out).kept).toHaveLength(30)
  })

  test('apply is compare-and-set, and can be a dry run', async () => {
    const changed = TABLE.replace('[GET, HEAD]', '[GET]')
    const dry = await anna(['apply', 'new.yaml', '--dry-run'], file(changed))
    expect([dry.code, dry.out]).toEqual([0, expect.stringContaining('nothing was changed (dry run)')])
    const { etag } = at.live.current
    await bob(['set', 'search', '50'])
    const late = await anna(['apply', 'new.yaml', '--if-match', etag.replaceAll('"', '')], file(changed))
    expect(late).toMatchObject({ code: 5, err: expect.stringContaining('the current revision is 2') })
    const invalid = await anna(['apply', 'new.yaml'], file(`${TABLE}\nx: 1\n`))
    expect([invalid.code, at.live.current.number]).toEqual([1, 2])
  })
})

describe('apply, where the table changes between reading and writing', () => {
  const changed = TABLE.replace('[GET, HEAD]', '[GET]')
  const ask = AdminClient.prototype.ask
  /** Somebody is faster. */
  const overtaken = (edit: (nth: number) => Promise<unknown>) => {
    let left = 1
    const spy = vi.spyOn(AdminClient.prototype, 'ask').mockImplementation(async function (this: AdminClient, ...asked) {
      if (asked[0] === 'PUT' && left-- > 0) await edit(left)
      return await ask.apply(this, asked)
    })
    onTestFinished(() => spy.mockRestore())
    return spy
  }

  test('a percent that moves is kept', async () => {
    overtaken((percent) => bob(['set', 'gtin-lookup', String(percent)]))
    expect(await anna(['apply', 'new.yaml'], { files: { 'new.yaml': changed } })).toMatchObject({
      code: 0,
      err: 'gtin-lookup: percent stays 0 (the file says 5; --take-percent takes it)\n',
    })
    expect(await at.text()).toBe(changed.replace('percent: 5 ', 'percent: 0 '))
  })

  test('--take-percent takes that of the file all the same', async () => {
    overtaken((percent) => bob(['set', 'gtin-lookup', String(percent)]))
    expect(await anna(['apply', 'new.yaml', '--take-percent'], { files: { 'new.yaml': changed } })).toMatchObject({
      ...{ code: 0, err: '' },
    })
    expect(await at.text()).toBe(changed)
  })

  test("a server of an earlier version, which can't keep them, gets those that were live", async () => {
    const asked: (string | undefined)[] = []
    const earlier = createServer((got, answer) => {
      if (got.method === 'PUT') asked.push(got.url)
      if (got.url?.includes('percents=')) {
        const problem = { type: 'urn:banyan:problem:malformed-query', detail: 'Unknown parameter "percents".' }
        got.resume()
        answer
          .writeHead(400, { 'Content-Type': 'application/problem+json', 'Banyan-Request-Id': 'one' })
          .end(JSON.stringify(problem))
        return
      }
      const { method = '', url: path = '', headers } = got
      const passed = request({ host: '127.0.0.1', port: at.port, method, path, headers }, (back) => {
        answer.writeHead(back.statusCode ?? 0, back.headers)
        back.pipe(answer)
      })
      got.pipe(passed)
    })
    await new Promise<void>((listening) => earlier.listen(0, '127.0.0.1', listening))
    onTestFinished(() => {
      earlier.closeAllConnections()
      earlier.close()
    })
    await anna(['set', 'gtin-lookup', '50'])
    const { port } = earlier.address() as AddressInfo
    const words = ['apply', 'new.yaml', '--reason', 'x', '--admin', `127.0.0.1:${port}`]
    expect(await anna(words, { files: { 'new.yaml': changed } })).toMatchObject({
      ...{ code: 0, err: 'gtin-lookup: percent stays 50 (the file says 5; --take-percent takes it)\n' },
    })
    expect(asked).toEqual(['/routes.yaml?percents=live', '/routes.yaml'])
    expect(await at.text()).toBe(changed.replace('percent: 5 ', 'percent: 50 '))
  })

  test("any other change is somebody else's, and is not overwritten", async () => {
    overtaken(() => at.operations.commit(removeRoute('search'), { author: 'bob', reason: null, ifMatch: null }))
    const { code } = await anna(['apply', 'new.yaml'], { files: { 'new.yaml': changed } })
    expect([code, at.live.current.number]).toEqual([5, 2])
  })

  test('a revision that is named is the one', async () => {
    const tag = at.live.current.etag.replaceAll('"', '')
    const asked = overtaken((percent) => bob(['set', 'gtin-lookup', String(percent)]))
    const { code } = await anna(['apply', 'new.yaml', '--if-match', tag], { files: { 'new.yaml': changed } })
    expect([code, at.live.current.number]).toEqual([5, 2])
    // Asked for again, it would be refused again.
    expect(asked.mock.calls.filter(([method]) => method === 'PUT')).toHaveLength(1)
  })
})

describe('--watch', () => {
  test('prints what has changed until it is ended; a proxy that is gone for a while is waited for', async () => {
    const end = new AbortController()
    let looks = 0
    const sleep = async () => {
      looks++
      if (looks === 1) await anna(['set', 'search', '50'])
      if (looks === 3) end.abort()
    }
    const { code, out } = await anna(['revisions', '--watch'], { sleep, ended: end.signal })
    expect(code).toBe(0)
    const [first, second, ...more] = out.split('\n\n')
    expect(first).toMatch(/^REVISION[\s\S]*\n1 \* /)
    expect(second).toMatch(/^REVISION[\s\S]*\n2 \* [\s\S]*percent 100 -> 50/)
    expect(more).toEqual([])
  })

  test('with --json each is a line', async () => {
    const end = new AbortController()
    const sleep = async () => end.abort()
    const { out } = await anna(['revisions', '--watch', '--json'], { sleep, ended: end.signal })
    expect(out.split('\n')).toHaveLength(2)
    expect(JSON.parse(out).current).toBe(1)
  })

  test('in a terminal it is drawn in place, no longer than the terminal is high', async () => {
    for (const percent of [1, 2, 3, 4, 5, 6]) await (percent % 2 ? anna : bob)(['set', 'search', String(percent)])
    const end = new AbortController()
    const sleep = async () => end.abort()
    const terminal = () => ({ columns: 80, rows: 6 })
    const { out } = await anna(['revisions', '-w'], { sleep, ended: end.signal, terminal })
    expect(out.startsWith('\x1b[H')).toBe(true)
    expect(out.split('\r\n')).toHaveLength(6)
    expect(out).toContain('... and 5 more lines')
  })
})
