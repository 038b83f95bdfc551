/**
 * All that the public side needs for TLS, from wherever it comes, as one value that is told anew with each change.
 */
import { NO_SERVER_TLS, type ServerPair, type ServerTls } from '../../state/tls/server-tls.ts'
import type { ControlLog } from '../control-log.ts'
import { TicketKeys } from './ticket-keys.ts'

/** Where certificates come from: files, or an authority (ACME). */
export interface CertificateSource {
  /** Those in use, by precedence. */
  readonly pairs: readonly ServerPair[]
  /** Answers to challenges of an authority, by the names in them. Default: none. */
  readonly challenges?: readonly ServerPair[]
  /** Answers to http-01 by their tokens. Default: none. */
  readonly answers?: Readonly<Record<string, string>>
  /** Authorities of client certificates, in PEM. Default: none. */
  readonly clientCa?: string | null
  /** Why what is in use is not what was to be, a line each. */
  readonly problems: readonly string[]
  /** Failed orders in a row, by the name that is ordered for. Default: none. */
  readonly failures?: ReadonlyMap<string, number>
  /** Begins to look after them. @param onChange resolves when all processes have what has changed */
  start?(onChange: () => Promise<void>): void
  close?(): Promise<void> | void
}

/** How often certificates are looked at that expire. */
const LOOK_MS = 60 * 60 * 1000
/** One that expires is told again after this. */
const TELL_EVERY_MS = 24 * 60 * 60 * 1000

/** A certificate expires soon: within a tenth of its life, and at most so long. */
const SOON_SHARE = 0.1
const MAX_SOON_MS = 14 * 24 * 60 * 60 * 1000

/** All sources together. */
export class Certificates {
  readonly #sources: CertificateSource[] = []
  readonly #keys = new TicketKeys()
  readonly #log: ControlLog
  readonly #now: () => number
  readonly #toldAtMs = new Map<string, number>()
  #publish: (tls: ServerTls) => Promise<void> | void = () => {}
  #look: NodeJS.Timeout | undefined

  /** @param now epoch milliseconds */
  constructor(log: ControlLog, now: () => number) {
    this.#log = log
    this.#now = now
  }

  /** Adds a source. Its certificates come behind those of earlier ones. */
  add(source: CertificateSource): void {
    this.#sources.push(source)
  }

  /** What is in use now. */
  get current(): ServerTls {
    if (this.#sources.length === 0) return NO_SERVER_TLS
    return {
      pairs: this.pairs,
      challenges: this.#sources.flatMap(({ challenges }) => challenges ?? []),
      answers: Object.assign({}, ...this.#sources.map(({ answers }) => answers ?? {})) as Record<string, string>,
      clientCa: this.#sources.map(({ clientCa }) => clientCa ?? null).find((ca) => ca !== null) ?? null,
      ticketKeys: this.#keys.current,
    }
  }

  get pairs(): readonly ServerPair[] {
    return this.#sources.flatMap(({ pairs }) => pairs)
  }

  /** Failed orders in a row, by the name that is ordered for. */
  get failures(): ReadonlyMap<string, number> {
    return new Map(this.#sources.flatMap(({ failures }) => [...(failures ?? [])]))
  }

  /** Why certificates are not what they should be, a line each. */
  get problems(): readonly string[] {
    return [...this.#sources.flatMap(({ problems }) => problems), ...this.#expiring().map(({ told }) => told)]
  }

  /**
   * Tells of each change from now on.
   * @param publish resolves when all processes have it
   */
  start(publish: (tls: ServerTls) => Promise<void> | void): void {
    this.#publish = publish
    this.#keys.start(() => void this.changed())
    for (const source of this.#sources) source.start?.(() => this.changed())
    this.tellExpiring()
    this.#look = setInterval(() => this.tellExpiring(), LOOK_MS).unref()
  }

  /** A source has changed. Resolves when all processes have it, so that a challenge may be answered then. */
  async changed(): Promise<void> {
    this.tellExpiring()
    await this.#publish(this.current)
  }

  /** Logs which certificates expire soon. */
  tellExpiring(): void {
    const nowMs = this.#now()
    for (const { pair, told } of this.#expiring()) {
      const before = this.#toldAtMs.get(pair.digest)
      if (before !== undefined && nowMs - before < TELL_EVERY_MS) continue
      this.#toldAtMs.set(pair.digest, nowMs)
      const fields = {
        event: 'certificate',
        certificate: pair.label,
        notAfter: new Date(pair.notAfterMs).toISOString(),
      }
      if (pair.notAfterMs <= nowMs) this.#log.error(fields, told)
      else this.#log.warn(fields, told)
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#look)
    this.#keys.close()
    await Promise.all(this.#sources.map((source) => source.close?.()))
  }

  #expiring(): { readonly pair: ServerPair; readonly told: string }[] {
    const nowMs = this.#now()
    return this.pairs.flatMap((pair) => {
      const { notBeforeMs, notAfterMs, label } = pair
      const soonMs = Math.min((notAfterMs - notBeforeMs) * SOON_SHARE, MAX_SOON_MS)
      const date = new Date(notAfterMs).toISOString()
      if (notAfterMs <= nowMs) return [{ pair, told: `the certificate ${label} has expired (${date})` }]
      if (notAfterMs - nowMs < soonMs) return [{ pair, told: `the certificate ${label} expires on ${date}` }]
      if (notBeforeMs > nowMs) return [{ pair, told: `the certificate ${label} is not valid yet` }]
      return []
    })
  }
}
