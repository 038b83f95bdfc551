/**
 * Certificates from an ACME authority (RFC 8555): ordered for each configured name, stored in files, renewed in time. If the authority
 * fails, files can't be written or a process is killed, the certificates in use stay in use, and the problem is reported. One process,
 * the owner of the files, orders; the others use its certificates and answer its challenges.
 */
import { createHash, X509Certificate } from 'node:crypto'
import type { ChallengeKind } from '../../rules/acme/names.ts'
import {
  type AcmeFailureKind,
  dueAtMs,
  isClockWrong,
  mayOrderAtMs,
  pauseMs,
  recentOrders,
  renewAtMs,
} from '../../rules/acme/schedule.ts'
import { serverPairOf } from '../../state/tls/server-pair.ts'
import type { ServerPair } from '../../state/tls/server-tls.ts'
import type { ControlLog } from '../control-log.ts'
import type { CertificateSource } from '../tls/certificates.ts'
import type { AcmeFiles } from './files.ts'
import { AcmeKept, type Attempts, type Tried } from './kept.ts'
import { type Challenge, type OrderFailure, orderCertificate } from './order.ts'

/** The operator's settings. */
export interface AcmeSettings {
  /** In lower case. */
  readonly names: readonly string[]
  readonly directory: string
  readonly email: string | null
  readonly eab: { readonly kid: string; readonly key: string } | null
  /** Challenge types, by preference. */
  readonly challenges: readonly ChallengeKind[]
}

/** Dependencies. */
export interface AcmeParts {
  readonly settings: AcmeSettings
  readonly files: AcmeFiles
  readonly log: ControlLog
  /** Epoch milliseconds. */
  now(): number
  chance(): number
  readonly order?: typeof orderCertificate
  /** How often certificates are checked, milliseconds. Default: 10 s. */
  readonly lookMs?: number
}

/** How often to check at least, because the clock may be set and the owner may exit. */
const LOOK_MS = 10_000
/** If a renewal is due sooner, the next check comes sooner, but not before this share of the interval. */
const MIN_LOOK_SHARE = 0.1

/** How long to wait before the next order after files could not be written. */
const FILES_PAUSE_MS = 60_000

/** How long to wait for all processes to apply a change. */
const PATIENCE_MS = 10_000

const NOTHING_TRIED: Attempts = { failures: 0, atMs: 0, nextAtMs: 0, error: null, challenge: null }

/** The certificates of one authority. */
export class Acme implements CertificateSource {
  readonly #parts: AcmeParts
  readonly #files: AcmeFiles
  readonly #kept: AcmeKept
  readonly #order: typeof orderCertificate
  #pairs = new Map<string, ServerPair>()
  /** The texts last read from the files, by name. */
  #texts = new Map<string, string>()
  /** Names whose certificates could not be written yet. */
  readonly #unkept = new Set<string>()
  #tried: Tried = { names: {}, orderedAtMs: [] }
  #challenge: Challenge | null = null
  #filesProblem: string | null = null
  #filesDueMs = 0
  #isClockWrong = false
  #onChange: () => Promise<void> | void = () => {}
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | null = null
  readonly #closing = new AbortController()

  constructor(parts: AcmeParts) {
    this.#parts = parts
    this.#order = parts.order ?? orderCertificate
    this.#files = parts.files
    this.#kept = new AcmeKept(parts.files, (message) => parts.log.error({ event: 'acme' }, message))
  }

  get pairs(): readonly ServerPair[] {
    return this.#parts.settings.names.flatMap((name) => this.#pairs.get(name) ?? [])
  }

  get challenges(): readonly ServerPair[] {
    if (this.#challenge?.kind !== 'tls-alpn-01') return []
    const pair = serverPairOf(this.#challenge.cert, this.#challenge.key, 'a challenge')
    return 'digest' in pair ? [pair] : []
  }

  /** Answers to http-01 challenges by token (RFC 8555 section 8.3). */
  get answers(): Readonly<Record<string, string>> {
    return this.#challenge?.kind === 'http-01' ? { [this.#challenge.token]: this.#challenge.answer } : {}
  }

  get problems(): readonly string[] {
    const problems = this.#parts.settings.names.flatMap((name) => this.#problemOf(name) ?? [])
    if (this.#filesProblem !== null) problems.push(this.#filesProblem)
    if (this.#files.problem !== null) problems.push(this.#files.problem)
    if (this.#isClockWrong) problems.push('the clock is wrong: no certificates are ordered')
    return problems
  }

  /** Consecutive failures, by name. */
  get failures(): ReadonlyMap<string, number> {
    return new Map(this.#parts.settings.names.map((name) => [name, this.#failuresOf(name)]))
  }

  /**
   * Reads the stored certificates. Nothing is ordered yet.
   * @throws {Error} the files can't be used, and there is no certificate
   */
  async load(): Promise<void> {
    const refused = await this.#files.take().then(
      () => null,
      (error: Error) => error,
    )
    await this.#reread()
    if (refused !== null) {
      // Existing certificates can be served even if the files can't be written.
      if (this.#pairs.size === 0) throw refused
      this.#tellFiles(refused)
      return
    }
    const { name, owner, problem, isOwner } = this.#files
    if (isOwner) await this.#takeOver()
    else if (problem === null)
      this.#parts.log.info({ event: 'acme' }, `the certificates of ${name} are ordered by ${owner}`)
  }

  /** Starts ordering what is missing or due. @param onChange resolves when all processes have applied a change */
  start(onChange: () => Promise<void> | void): void {
    this.#onChange = onChange
    this.#files.onNews(() => {
      // The owner knows its own changes.
      if (!this.#files.isOwner) this.#lookNow()
    })
    this.#lookNow()
  }

  /** Aborts the current order. */
  async close(): Promise<void> {
    this.#closing.abort()
    clearTimeout(this.#timer)
    await this.#files.close()
  }

  /** Checks now, or once the current check is done, and then periodically. */
  #lookNow(): void {
    clearTimeout(this.#timer)
    const before = this.#looking ?? Promise.resolve()
    const looking: Promise<void> = before
      .then(() => (this.#closing.signal.aborted || this.#looking !== looking ? undefined : this.#look()))
      .finally(() => {
        if (this.#looking !== looking) return
        this.#looking = null
        if (!this.#closing.signal.aborted) this.#timer = setTimeout(() => this.#lookNow(), this.#pauseMs()).unref()
      })
    this.#looking = looking
  }

  /** How long to wait until the next check. */
  #pauseMs(): number {
    const { lookMs = LOOK_MS } = this.#parts
    if (!this.#files.isOwner) return lookMs
    const nowMs = this.#parts.now()
    const due = this.#parts.settings.names.map((name) => {
      const pair = this.#pairs.get(name)
      return Math.max(pair === undefined ? nowMs : renewAtMs(pair, spreadOf(pair)), this.#triedOf(name).nextAtMs)
    })
    return Math.max(lookMs * MIN_LOOK_SHARE, Math.min(lookMs, ...due.map((atMs) => atMs - nowMs)))
  }

  async #look(): Promise<void> {
    try {
      if (!this.#files.isOwner) await this.#follow()
      if (!this.#files.isOwner) return
      await this.#keepUnkept()
      for (let name = this.#due(); name !== null && !this.#closing.signal.aborted; name = this.#due()) {
        if (!(await this.#attempt(name))) return
      }
    } catch (error) {
      this.#tellFiles(error)
    }
  }

  /** Resolves when all processes have applied a change, or after a while without those that hang. */
  async #told(): Promise<void> {
    const late = new Promise<void>((resolve) => setTimeout(resolve, PATIENCE_MS).unref())
    await Promise.race([this.#onChange(), late])
  }

  /** Follows the owner: uses its certificates, answers its challenges, and takes over when it exits. */
  async #follow(): Promise<void> {
    await this.#files.take()
    const isChanged = await this.#reread()
    const { isOwner, name } = this.#files
    // Write problems are the owner's to report.
    if (!isOwner) this.#filesProblem = null
    // The previous owner's order is no longer open.
    const challenge = isOwner ? null : await this.#files.heard()
    const isOther = challenge !== this.#challenge
    this.#challenge = challenge
    if (isChanged || isOther) await this.#told()
    if (isOther) this.#files.answering()
    if (!isOwner) return
    await this.#files.tell(null)
    this.#parts.log.info({ event: 'acme' }, `the certificates of ${name} are ordered by this process from now on`)
    await this.#takeOver()
  }

  /** Reads the attempts of previous owners, and logs failures that are waiting for a retry: their own log lines may be long ago. */
  async #takeOver(): Promise<void> {
    this.#tried = await this.#kept.tried()
    const nowMs = this.#parts.now()
    for (const name of this.#parts.settings.names) {
      const { failures, nextAtMs } = this.#triedOf(name)
      if (failures > 0 && dueAtMs(nextAtMs, nowMs) > nowMs) this.#tellFailure(name)
    }
  }

  /** @returns whether certificates have changed */
  async #reread(): Promise<boolean> {
    const { names } = this.#parts.settings
    let isChanged = false
    for (const name of names) {
      const text = await this.#kept.pair(name)
      if (text === null || text === this.#texts.get(name)) continue
      this.#texts.set(name, text)
      const pair = pairIn(text, name)
      if (typeof pair === 'string') {
        const told = `${this.#files.name}/${name}.pem ${pair}`
        this.#parts.log.error({ event: 'acme', name }, `${told}: it is ignored, and kept as ${name}.pem.damaged`)
        if (this.#files.isOwner) await this.#kept.setAside(name)
      } else {
        this.#pairs.set(name, pair)
        isChanged = true
      }
    }
    return isChanged
  }

  /** The name to order a certificate for now; null for none. Names without a certificate come first. */
  #due(): string | null {
    const nowMs = this.#parts.now()
    const wasWrong = this.#isClockWrong
    this.#isClockWrong = [...this.#pairs.values()].some((pair) => isClockWrong(pair, nowMs))
    if (this.#isClockWrong) {
      const told = `the clock is wrong: certificates in use are not valid yet; none are ordered until it is set`
      if (!wasWrong) this.#parts.log.error({ event: 'acme' }, told)
      return null
    }
    if (nowMs < this.#filesDueMs || mayOrderAtMs(this.#tried.orderedAtMs, nowMs) > nowMs) return null
    const due = this.#parts.settings.names.filter((name) => {
      const pair = this.#pairs.get(name)
      const isWanted = pair === undefined || renewAtMs(pair, spreadOf(pair)) <= nowMs
      return isWanted && dueAtMs(this.#triedOf(name).nextAtMs, nowMs) <= nowMs
    })
    const endOf = (name: string): number => this.#pairs.get(name)?.notAfterMs ?? 0
    return due.sort((a, b) => endOf(a) - endOf(b))[0] ?? null
  }

  /** @returns false if nothing can be ordered for any name now */
  async #attempt(name: string): Promise<boolean> {
    const { now, chance, settings } = this.#parts
    const nowMs = now()
    const before = this.#triedOf(name)
    const failures = before.failures + 1
    // Recorded as a failure before it begins, so that a process that keeps crashing does not keep ordering.
    const nextAtMs = nowMs + pauseMs('unreachable', failures, null, chance())
    const orderedAtMs = [...recentOrders(this.#tried.orderedAtMs, nowMs), nowMs]
    try {
      await this.#note(name, { ...before, failures, atMs: nowMs, nextAtMs, error: null }, orderedAtMs)
    } catch (error) {
      this.#tried = { names: { ...this.#tried.names, [name]: before }, orderedAtMs: this.#tried.orderedAtMs }
      this.#tellFiles(error)
      return false
    }
    let used: ChallengeKind | null = null
    const account = await this.#kept.account(settings.directory)
    const challenges = [...settings.challenges].sort(
      (a, b) => Number(b === before.challenge) - Number(a === before.challenge),
    )
    const request = { name, ...settings, account, challenges }
    const result = await this.#order(
      { name, directory: request.directory, email: request.email, eab: request.eab, account, challenges },
      {
        onAccount: (made) => this.#kept.keepAccount(settings.directory, made),
        onChallenge: async (challenge) => {
          used = challenge.kind
          this.#challenge = challenge
          await this.#told()
          await this.#files.tell(challenge)
        },
      },
      this.#closing.signal,
    )
    if (this.#closing.signal.aborted) return false
    this.#challenge = null
    // If the others can't be told now, the next order does it.
    await this.#files.tell(null).catch(() => {})
    const pair = 'failure' in result ? result : this.#judged(name, result)
    if ('failure' in pair) {
      await this.#failed(name, pair.failure, failures, used)
      await this.#told()
    } else await this.#issued(name, pair, used)
    return true
  }

  /** Uses what an authority has sent only if it is what was ordered. */
  #judged(name: string, { cert, key }: { cert: string; key: string }): ServerPair | { failure: OrderFailure } {
    const pair = pairIn(`${cert.trim()}\n${key}`, name)
    const flaw =
      typeof pair === 'string'
        ? `the certificate from the authority ${pair}`
        : pair.notAfterMs <= this.#parts.now()
          ? 'the certificate from the authority has expired by the clock of this machine, which may be wrong'
          : null
    if (flaw === null) return pair as ServerPair
    return { failure: { kind: 'refused', message: flaw, retryAfterMs: null } }
  }

  async #issued(name: string, pair: ServerPair, used: ChallengeKind | null): Promise<void> {
    const { log } = this.#parts
    this.#pairs.set(name, pair)
    this.#unkept.add(name)
    await this.#keepUnkept()
    const challenge = used ?? this.#triedOf(name).challenge
    await this.#note(name, { ...NOTHING_TRIED, atMs: this.#parts.now(), challenge }).catch((error) =>
      this.#tellFiles(error),
    )
    await this.#told()
    const fields = { event: 'acme', name, notAfter: dateOf(pair.notAfterMs), digest: digestOf(pair) }
    log.info(fields, `certificate for ${name}: valid until ${dateOf(pair.notAfterMs)}`)
  }

  async #failed(
    name: string,
    { kind, message, retryAfterMs }: OrderFailure,
    failures: number,
    used: ChallengeKind | null,
  ): Promise<void> {
    const { now, chance } = this.#parts
    const nextAtMs = now() + pauseMs(kind, failures, retryAfterMs, chance())
    const challenge = this.#nextChallenge(name, kind, used)
    this.#tried.names[name] = { ...this.#triedOf(name), failures, nextAtMs, error: message, challenge }
    this.#tellFailure(name)
    await this.#note(name, this.#triedOf(name)).catch((error) => this.#tellFiles(error))
  }

  /** After a refusal, the next challenge type is tried. */
  #nextChallenge(name: string, kind: AcmeFailureKind, used: ChallengeKind | null): ChallengeKind | null {
    const { challenges } = this.#parts.settings
    if (kind === 'unreachable' || used === null) return this.#triedOf(name).challenge
    return challenges[(challenges.indexOf(used) + 1) % challenges.length] ?? null
  }

  /** Writes certificates that are in use but not in a file yet. */
  async #keepUnkept(): Promise<void> {
    for (const name of this.#unkept) {
      const pair = this.#pairs.get(name)
      try {
        if (pair !== undefined) await this.#kept.keepPair(name, textOf(pair))
        this.#unkept.delete(name)
        this.#filesProblem = null
      } catch (error) {
        this.#tellFiles(error)
        return
      }
    }
  }

  async #note(name: string, attempts: Attempts, orderedAtMs = this.#tried.orderedAtMs): Promise<void> {
    this.#tried = { names: { ...this.#tried.names, [name]: attempts }, orderedAtMs: [...orderedAtMs] }
    await this.#kept.keepTried(this.#tried)
    this.#filesProblem = null
  }

  #tellFiles(error: unknown): void {
    const { code, message } = error as NodeJS.ErrnoException
    const problem = `${this.#files.name} can't be used (${code ?? message}): no certificates are ordered`
    this.#filesDueMs = this.#parts.now() + FILES_PAUSE_MS
    if (problem !== this.#filesProblem) this.#parts.log.error({ event: 'acme', code }, problem)
    this.#filesProblem = problem
  }

  #tellFailure(name: string): void {
    const { failures, nextAtMs, error } = this.#triedOf(name)
    const problem = this.#problemOf(name) ?? `the order for ${name} was interrupted`
    const nextAt = dateOf(nextAtMs)
    this.#parts.log.error({ event: 'acme', name, failures, nextAt, error }, `${problem}; next attempt at ${nextAt}`)
  }

  #triedOf(name: string): Attempts {
    return this.#tried.names[name] ?? NOTHING_TRIED
  }

  #failuresOf(name: string): number {
    const { failures, error } = this.#triedOf(name)
    // The current attempt is not a failure yet.
    return error === null ? Math.max(failures - 1, 0) : failures
  }

  #problemOf(name: string): string | null {
    const pair = this.#pairs.get(name)
    const { error } = this.#triedOf(name)
    if (error === null) return pair === undefined ? `no certificate for ${name} yet` : null
    const times = `${this.#failuresOf(name)} in a row`
    if (pair === undefined) return `no certificate for ${name}: ${error} (${times})`
    return `the certificate for ${name} can't be renewed: ${error} (${times}); the current one is valid until ${dateOf(pair.notAfterMs)}`
  }
}

/** The pair in a text with certificate, chain and key, or what is wrong with the text. */
function pairIn(text: string, name: string): ServerPair | string {
  const at = text.search(/-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/)
  if (at === -1) return 'has no key'
  const pair = serverPairOf(text.slice(0, at), text.slice(at), name)
  if (!('digest' in pair)) return pair.message
  const covers = new X509Certificate(pair.cert).checkHost(name, { subject: 'never' }) !== undefined
  return covers ? pair : `is for ${pair.names.join(', ')}, not for ${name}`
}

function textOf({ cert, key }: ServerPair): string {
  return `${cert.trim()}\n${key.trim()}\n`
}

/** A number in [0, 1), always the same for a certificate. */
function spreadOf({ digest }: ServerPair): number {
  return createHash('sha256').update(digest).digest().readUInt32BE(0) / 2 ** 32
}

function digestOf({ cert }: ServerPair): string {
  return new X509Certificate(cert).fingerprint256
}

function dateOf(ms: number): string {
  return new Date(ms).toISOString()
}
