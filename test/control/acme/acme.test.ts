/**
 * Certificates of an authority, kept in a folder: what becomes of them where the authority, the folder, the process or the clock fails.
 * The orders themselves are stood in for; they are tested against Pebble.
 */
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Acme } from '../../../src/control/acme/acme.ts'
import { FolderFiles } from '../../../src/control/acme/folder.ts'
import type { OrderFailure, OrderRequest, orderCertificate } from '../../../src/control/acme/order.ts'
import type { ChallengeKind } from '../../../src/rules/acme/names.ts'
import { agedPair } from '../../support/certificates.ts'

const MINUTE = 60_000
const DAY = 86_400_000
const NAME = 'shop.test'
const fresh = agedPair(NAME, Date.now() - MINUTE, Date.now() + 90 * DAY)
const due = agedPair(NAME, Date.now() - 80 * DAY, Date.now() + 10 * DAY)
const other = agedPair('other.test', Date.now() - MINUTE, Date.now() + 90 * DAY)
const pem = ({ cert, key }: { cert: string; key: string }): string => cert + key

type Outcome = { cert: string; key: string } | { failure: OrderFailure } | 'never'
const refused = (message = 'no such name'): Outcome => ({ failure: { kind: 'refused', message, retryAfterMs: null } })

/** An authority that answers as it is told, or else as before. */
class Authority {
  readonly asked: OrderRequest[] = []
  outcomes: Outcome[] = [fresh]
  uses: ChallengeKind | null = null
  readonly order: typeof orderCertificate = async (request, events, signal) => {
    this.asked.push(request)
    if (request.account === null) await events.onAccount({ key: 'PRIVATE KEY', url: 'http://ca/1' })
    const kind = this.uses ?? request.challenges[0]!
    await events.onChallenge(kind === 'http-01' ? { kind, token: 't', answer: 'a' } : { kind, ...due })
    const outcome = this.outcomes.length > 1 ? this.outcomes.shift()! : this.outcomes[0]!
    if (outcome !== 'never') return outcome
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    return { failure: { kind: 'unreachable', message: 'given up', retryAfterMs: null } }
  }
}

interface Line {
  readonly level: string
  readonly message: string
}

interface Rig {
  readonly acme: Acme
  readonly log: Line[]
  /** Resolves when the log has a line that matches. */
  line(pattern: RegExp): Promise<Line>
}

let clockMs = 0

function newFolder(files: Readonly<Record<string, string>> = {}): string {
  clockMs = Date.now()
  const parent = mkdtempSync(join(tmpdir(), 'banyan-acme-'))
  onTestFinished(() => rmSync(parent, { recursive: true, force: true }))
  const folder = join(parent, 'acme')
  mkdirSync(folder)
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text)
  return folder
}

async function started(folder: string, authority: Authority, names = [NAME]): Promise<Rig> {
  const log: Line[] = []
  const at =
    (level: string) =>
    (_fields: object, message: string): void =>
      void log.push({ level, message })
  const challenges = ['tls-alpn-01', 'http-01'] as const
  const written = { info: at('info'), warn: at('warn'), error: at('error') }
  const acme = new Acme({
    settings: { names, directory: 'http://ca', email: null, eab: null, challenges },
    files: new FolderFiles(folder, (message) => written.error({}, message)),
    log: written,
    now: () => clockMs,
    chance: () => 0.5,
    order: authority.order,
    lookMs: 20,
  })
  onTestFinished(() => acme.close())
  await acme.load()
  acme.start(() => {})
  const line = async (pattern: RegExp): Promise<Line> => {
    const found = (): Line | undefined => log.find(({ message }) => pattern.test(message))
    await expect.poll(found).toBeDefined()
    return found()!
  }
  return { acme, log, line }
}

const tried = (folder: string) =>
  JSON.parse(readFileSync(join(folder, 'tried.json'), 'utf8')).names[NAME] as {
    failures: number
    nextAtMs: number
    error: string | null
    challenge: string | null
  }

test('a certificate is ordered, used and kept for the owner only; nothing is ordered while it is fresh', async () => {
  const folder = newFolder()
  const authority = new Authority()
  const { acme, line } = await started(folder, authority)
  await line(/^certificate for shop\.test: valid until/)
  expect(acme.pairs.map(({ names }) => names)).toEqual([[NAME]])
  expect(acme.problems).toEqual([])
  expect([acme.challenges, acme.answers]).toEqual([[], {}])
  for (const file of readdirSync(folder)) expect(statSync(join(folder, file)).mode & 0o777, file).toBe(0o600)
  expect(tried(folder)).toMatchObject({ failures: 0, error: null, challenge: 'tls-alpn-01' })
  acme.close()
  const again = await started(folder, authority)
  expect(again.acme.pairs.length).toBe(1)
  clockMs += 50 * DAY
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(authority.asked.length).toBe(1)
})

test('a renewal that fails is told, leaves the certificate in use, and is not tried again by a restart', async () => {
  const folder = newFolder({ [`${NAME}.pem`]: pem(due) })
  const authority = new Authority()
  authority.outcomes = [refused()]
  const first = await started(folder, authority)
  const { level, message } = await first.line(/can't be renewed/)
  expect(level).toBe('error')
  expect(message).toMatch(
    /shop\.test can't be renewed: no such name \(1 in a row\); the current one is valid until .*; next attempt at /,
  )
  await expect.poll(() => tried(folder).error).toBe('no such name')
  expect(first.acme.pairs[0]?.cert).toBe(due.cert)
  expect(first.acme.problems).toEqual([expect.stringContaining("can't be renewed: no such name")])
  expect(first.acme.failures).toEqual(new Map([[NAME, 1]]))
  first.acme.close()

  const second = await started(folder, authority)
  expect(second.acme.failures).toEqual(new Map([[NAME, 1]]))
  // Whoever looks why it was restarted finds it in the new log, too.
  expect(second.log).toEqual([{ level, message }])
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(authority.asked.length).toBe(1)
  second.acme.close()

  // Behind the pause the other way is tried, and what works is remembered.
  authority.outcomes = [fresh]
  clockMs += 6 * MINUTE
  const third = await started(folder, authority)
  await third.line(/^certificate for shop\.test/)
  expect(authority.asked.map(({ challenges }) => challenges[0])).toEqual(['tls-alpn-01', 'http-01'])
  expect(third.acme.pairs[0]?.cert.trim()).toBe(fresh.cert.trim())
  expect(tried(folder)).toMatchObject({ failures: 0, challenge: 'http-01' })
})

test('an authority that asks for a longer pause gets it', async () => {
  const folder = newFolder()
  const authority = new Authority()
  authority.outcomes = [{ failure: { kind: 'refused', message: 'too many', retryAfterMs: 2 * DAY } }]
  const { line } = await started(folder, authority)
  await line(/no certificate for shop\.test: too many/)
  await expect.poll(() => tried(folder).error).toBe('too many')
  expect(tried(folder).nextAtMs).toBe(clockMs + 2 * DAY)
})

test.each([
  ['of another name', other, /is for other\.test, not for shop\.test/],
  ['without a key', { cert: fresh.cert, key: '' }, /has no key/],
  ['whose key is another', { cert: fresh.cert, key: other.key }, /key/],
  ['that is none', { cert: '<html>', key: fresh.key }, /certificate/],
  ['that is over', agedPair(NAME, Date.now() - 2 * DAY, Date.now() - DAY), /has expired by the clock/],
])('a certificate %s is not used', async (_what, sent, why) => {
  const folder = newFolder({ [`${NAME}.pem`]: pem(due) })
  const authority = new Authority()
  authority.outcomes = [sent]
  const { acme, line } = await started(folder, authority)
  expect((await line(/can't be renewed/)).message).toMatch(why)
  expect(acme.pairs[0]?.cert).toBe(due.cert)
  expect(readFileSync(join(folder, `${NAME}.pem`), 'utf8')).toBe(pem(due))
})

test('a process that is killed in an order counts as a failure: the next one waits', async () => {
  const folder = newFolder({ [`${NAME}.pem`]: pem(due) })
  const authority = new Authority()
  authority.outcomes = ['never']
  for (let kills = 1; kills <= 3; kills++) {
    const { acme } = await started(folder, authority)
    await expect.poll(() => authority.asked.length).toBe(kills)
    expect(acme.pairs.length).toBe(1)
    acme.close()
    const { failures, nextAtMs } = tried(folder)
    expect([failures, nextAtMs - clockMs]).toEqual([kills, MINUTE * 2 ** (kills - 1)])
    const soon = await started(folder, authority)
    expect(soon.log.map(({ message }) => message)).toEqual([
      `the order for shop.test was interrupted; next attempt at ${new Date(nextAtMs).toISOString()}`,
    ])
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(authority.asked.length).toBe(kills)
    soon.acme.close()
    clockMs = nextAtMs
  }
})

test('files that are damaged or half written count as none, are told, and stop nothing', async () => {
  const folder = newFolder({
    [`${NAME}.pem`]: pem(fresh).slice(0, 700),
    'account.json': '{"version":1,"dir',
    'tried.json': '[]',
    'shop.test.pem.1234.tmp': 'half',
  })
  const authority = new Authority()
  const { acme, log, line } = await started(folder, authority)
  await line(/^certificate for shop\.test/)
  expect(acme.pairs.length).toBe(1)
  expect(authority.asked[0]?.account).toBe(null)
  const told = log.filter(({ level }) => level === 'error').map(({ message }) => message)
  expect(told).toEqual([
    expect.stringMatching(/shop\.test\.pem .*: it is ignored, and kept as shop\.test\.pem\.damaged/),
    expect.stringMatching(/tried\.json is damaged: it is ignored/),
    expect.stringMatching(/account\.json is damaged: it is ignored/),
  ])
  expect(readFileSync(join(folder, `${NAME}.pem.damaged`), 'utf8').length).toBe(700)
})

test.each([0o777, 0o1777])(
  'a folder that any user may write to (%o) holds no new keys; what is in it is served, and told of',
  async (mode) => {
    const authority = new Authority()
    const empty = newFolder()
    chmodSync(empty, mode)
    const octal = mode.toString(8).padStart(4, '0')
    await expect(started(empty, authority)).rejects.toThrow(`any user may write to it and replace keys (mode ${octal})`)
    expect(readdirSync(empty)).toEqual([])
    const folder = newFolder({ [`${NAME}.pem`]: pem(due) })
    chmodSync(folder, mode)
    const { acme, line } = await started(folder, authority)
    expect((await line(/can't be used \(any user may write to it/)).level).toBe('error')
    expect(acme.pairs.length).toBe(1)
    expect(acme.problems).toEqual([expect.stringContaining('chmod 700 it')])
    expect(authority.asked).toEqual([])
    chmodSync(folder, 0o2775)
    clockMs += 10 * MINUTE
    await line(/^certificate for shop\.test/)
    expect(acme.problems).toEqual([])
  },
)

test('while the folder can not be written nothing is ordered, and what is in use stays', async () => {
  const folder = newFolder({ [`${NAME}.pem`]: pem(due) })
  const authority = new Authority()
  authority.outcomes = [refused()]
  const running = await started(folder, authority)
  await running.line(/can't be renewed/)
  const gone = `${folder}.gone`
  renameSync(folder, gone)
  writeFileSync(folder, 'no folder')
  clockMs += 10 * MINUTE
  const told = await running.line(/can't be used \(ENOTDIR\): no certificates are ordered/)
  expect(told.level).toBe('error')
  expect(authority.asked.length).toBe(1)
  expect(running.acme.pairs.length).toBe(1)
  expect(running.acme.problems).toContainEqual(expect.stringContaining("can't be used"))
  rmSync(folder)
  renameSync(gone, folder)
  authority.outcomes = [fresh]
  clockMs += 10 * MINUTE
  await running.line(/^certificate for shop\.test/)
  expect(running.acme.problems).toEqual([])
})

test('a certificate that can not be written is used, and written when it can be, without another order', async () => {
  const folder = newFolder()
  const authority = new Authority()
  const gone = `${folder}.gone`
  const order = authority.order
  Object.assign(authority, {
    order: async (...args: Parameters<typeof order>) => {
      const result = await order(...args)
      renameSync(folder, gone)
      writeFileSync(folder, 'no folder')
      return result
    },
  })
  const { acme, line } = await started(folder, authority)
  await line(/^certificate for shop\.test/)
  expect(acme.pairs.length).toBe(1)
  expect(acme.problems).toEqual([expect.stringContaining("can't be used")])
  rmSync(folder)
  renameSync(gone, folder)
  await expect.poll(() => readdirSync(folder), { timeout: 120_000 }).toContain(`${NAME}.pem`)
  await expect.poll(() => acme.problems).toEqual([])
  expect(authority.asked.length).toBe(1)
})

test('a clock that is wrong orders nothing', async () => {
  const folder = newFolder({ [`${NAME}.pem`]: pem(fresh) })
  clockMs = Date.parse('1970-01-02')
  const authority = new Authority()
  const { acme, line } = await started(folder, authority, [NAME, 'next.test'])
  await line(/the clock is wrong/)
  expect(acme.problems).toContainEqual(expect.stringContaining('the clock is wrong'))
  expect(authority.asked).toEqual([])
})

test('of two processes on a folder one orders, the other uses what it has, and takes over', async () => {
  const folder = newFolder()
  const [authority, idle] = [new Authority(), new Authority()]
  const owner = await started(folder, authority)
  await owner.line(/^certificate for/)
  const follower = await started(folder, idle)
  await follower.line(/are ordered by another process/)
  expect(follower.acme.pairs.length).toBe(1)
  owner.acme.close()
  await follower.line(/are ordered by this process from now on/)
  expect(idle.asked).toEqual([])
})
