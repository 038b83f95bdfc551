/**
 * Shared by all deploys: their flags, their observations, their output and how they end.
 */
import type { ServerAnswer } from '../../answers/upstreams.ts'
import {
  addTallies,
  Compared,
  NO_TALLY,
  type Tally,
  tallySince,
  type Verdict,
  type VerdictTerms,
} from '../../rules/failures/deploy-verdict.ts'
import { fineFrom } from '../../rules/values/duration-buckets.ts'
import type { AdminClient } from '../admin-client.ts'
import { durationOf, type Given } from '../command.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText, paint, printable } from '../io.ts'

/** What a deploy looks at of an address of a server. */
type Figures = Pick<
  ServerAnswer['live'][number],
  'id' | 'state' | 'exchanges' | 'failures' | 'clientErrors' | 'redirects' | 'responseMs' | 'health'
>

/** One entry of `live` of a server: one address of it. */
interface LiveServer extends Figures {
  /** The instance of the proxy that sees it so; '' for the one that is asked. */
  readonly instance: string
}

/** A server, as `GET /upstreams/:name/servers` gives it. */
export interface DeployServer extends Omit<ServerAnswer, 'upstream' | 'live'> {
  readonly live: readonly LiveServer[]
}

/** How a deploy ended: done, refused before any change, reverted, or stopped halfway. */
export type Ending = 'done' | 'refused' | 'reverted' | 'stopped'

const CODES: Readonly<Record<Ending, ExitCode>> = {
  done: EXIT.done,
  refused: EXIT.refused,
  reverted: EXIT.reverted,
  stopped: EXIT.stopped,
}

/** The deploy failed and has to be rolled back. The message says why. */
export class DeployFailure extends Error {}

/** The operator wants the command to end. The message names the signal. */
export class DeployInterrupt extends Error {}

/** Whether an error is one that a deploy deals with. */
export function isOfDeploy(error: unknown): error is Error {
  return error instanceof DeployFailure || error instanceof DeployInterrupt || error instanceof CommandError
}

/** Polling interval. */
const LOOK_MS = 200

/** One deploy while it runs. */
export class DeployRun {
  readonly client: AdminClient
  readonly given: Given
  readonly io: Io
  /** The signal that wants it to end, or null. */
  interrupt: string | null = null
  readonly #pattern: string
  readonly #steps: { readonly atMs: number; readonly what: string }[] = []

  constructor(pattern: string, given: Given, io: Io) {
    this.#pattern = pattern
    this.given = given
    this.io = io
    this.client = given.client(io)
  }

  /** From now on SIGINT, SIGTERM and SIGHUP end the deploy in an orderly way; the second one ends it at once. */
  heedInterrupts(): void {
    this.io.onInterrupt((signal) => {
      this.interrupt = signal
      this.io.err(`${signal}: one moment; a second one leaves everything as it is now\n`)
    })
  }

  /** @throws {DeployInterrupt} */
  throwIfInterrupted(): void {
    if (this.interrupt === null) return
    const signal = this.interrupt
    // What is done now to end it is not interrupted again.
    this.interrupt = null
    throw new DeployInterrupt(signal)
  }

  get isDryRun(): boolean {
    return this.given.has('dry-run')
  }

  /** Prints a step. */
  say(what: string): void {
    this.#steps.push({ atMs: this.io.now(), what })
    const line = `${printable(what)}\n`
    if (this.given.has('json')) this.io.err(line)
    else this.io.out(line)
  }

  /** Prints the last line, or with `--json` the whole result. */
  end(ending: Ending, what: string): ExitCode {
    this.say(`${paint(this.io.colours.out, ending === 'done' ? 'green' : 'red', ending)}: ${what}`)
    if (this.given.has('json')) {
      const steps = this.#steps.map(({ atMs, what }) => ({ at: new Date(atMs).toISOString(), what }))
      this.io.out(jsonText({ pattern: this.#pattern, ending, dryRun: this.isDryRun, steps }))
    }
    return CODES[ending]
  }

  /** The duration of a flag, in milliseconds. */
  duration(flag: string, fallback: string): number {
    return durationOf(flag, this.given.text(flag) ?? fallback)
  }

  /** Checks all flags. @throws {CommandError} if one is invalid; nothing has been changed yet */
  check(): void {
    this.terms()
    for (const flag of ['wait', 'ready', 'watch', 'hold']) this.duration(flag, '0ms')
  }

  /** When the new version counts as failing. */
  terms(): VerdictTerms {
    const errors = this.given.text('max-errors') ?? '0.5%'
    const percent = /^\d+(\.\d+)?%?$/.test(errors) ? Number.parseFloat(errors) : Number.NaN
    if (!(percent >= 0 && percent <= 100))
      throw new CommandError(EXIT.usage, `--max-errors ${errors}: invalid percent: must be 0 to 100`)
    const least = this.given.text('min-requests') ?? '100'
    if (!/^\d{1,9}$/.test(least)) throw new CommandError(EXIT.usage, `--min-requests ${least}: expected an integer`)
    const maxSlowerMs = this.duration('max-slower', '100ms')
    return { maxErrors: percent / 100, maxSlowerMs, minExchanges: Number(least) }
  }

  /** The servers of an upstream, as all instances see them. */
  async servers(upstream: string): Promise<readonly DeployServer[]> {
    const path = `/upstreams/${encodeURIComponent(upstream)}/servers?instances=all`
    return (await this.client.ask('GET', path)).json.servers.map(asSeenByAll)
  }

  /** Polls until `done` returns true. @returns false after the time limit */
  async until(limitMs: number, done: () => Promise<boolean>): Promise<boolean> {
    const endMs = this.io.now() + limitMs
    for (;;) {
      if (await done()) return true
      this.throwIfInterrupted()
      if (this.io.now() >= endMs) return false
      await this.io.sleep(Math.min(LOOK_MS, Math.max(1, endMs - this.io.now())))
    }
  }

  /**
   * Watches servers for a time, compared with others over the same time, or with those before where all requests are theirs.
   * @param limitMs watches up to this long if there is not enough traffic
   * @returns the verdict at the end
   * @throws {DeployFailure} if one is unhealthy or ejected, or too many requests fail
   */
  async watch(watched: Watched, forMs: number, limitMs = forMs): Promise<Verdict> {
    const endMs = this.io.now() + forMs
    let last = await this.#look(watched)
    const compared = new Compared(watched.before ?? totalOf(last.others))
    let verdict: Verdict = 'not-enough-data'
    await this.until(Math.max(forMs, limitMs), async () => {
      const now = await this.#look(watched)
      // From poll to poll: a restart of the proxy does not lose what it had counted before.
      compared.add(tallySince(last.here, now.here), tallySince(last.others, now.others))
      last = now
      const said = compared.verdict(watched.terms)
      verdict = said.verdict
      if (verdict === 'fail') throw new DeployFailure(`${said.words} at ${watched.name}`)
      for (const server of now.servers) throwIfIll(watched.name, server)
      return verdict === 'pass' && this.io.now() >= endMs
    })
    return verdict
  }

  async #look({ upstreams, here, against }: Watched): Promise<Look> {
    const servers = (await Promise.all(upstreams.map((name) => this.servers(name)))).flat()
    const some = servers.filter(here)
    const rest = against === undefined ? servers.filter((server) => !here(server)) : await this.servers(against)
    return { servers: some, here: talliesOf(some), others: talliesOf(rest) }
  }
}

/** What is watched. */
export interface Watched {
  /** For messages. */
  readonly name: string
  readonly upstreams: readonly string[]
  readonly here: (server: DeployServer) => boolean
  /** The upstream to compare with; default: the other servers of its own. */
  readonly against?: string
  /** What was counted of what they have replaced; default: of those that they are compared with. */
  readonly before?: Tally
  readonly terms: VerdictTerms
}

/** One observation. */
interface Look {
  readonly servers: readonly DeployServer[]
  readonly here: ReadonlyMap<string, Tally>
  readonly others: ReadonlyMap<string, Tally>
}

function talliesOf(servers: readonly DeployServer[]): Map<string, Tally> {
  return new Map(
    servers.flatMap(({ live }) =>
      live.map(({ id, exchanges, failures, clientErrors, redirects, responseMs = {} }) => {
        return [id, { exchanges, failures, clientErrors, redirects, latency: fineFrom(responseMs) }]
      }),
    ),
  )
}

function totalOf(tallies: ReadonlyMap<string, Tally>): Tally {
  return tallies.values().reduce(addTallies, NO_TALLY)
}

/** All that was ever counted of servers. */
export function everOf(servers: readonly DeployServer[]): Tally {
  return totalOf(talliesOf(servers))
}

function throwIfIll(name: string, { id, live }: DeployServer): void {
  for (const { state, health, instance } of live) {
    const where = instance === '' ? '' : ` at instance ${instance}`
    if (state === 'unhealthy')
      throw new DeployFailure(`${name}: server ${id} is unhealthy${where}: ${health?.last?.detail ?? ''}`)
    if (state === 'ejected')
      throw new DeployFailure(`${name}: server ${id} was ejected${where} after consecutive failures`)
  }
}

/** Whether it is in use and healthy, at each instance. */
export function isGood({ live }: DeployServer): boolean {
  const instances = Map.groupBy(live, ({ instance }) => instance)
  return instances.size > 0 && instances.values().every(isIn)
}

/** Why it is not good: each state once, with at how many instances where not all see it so. */
export function flawsOf({ id, live }: DeployServer): readonly string[] {
  const instances = [...Map.groupBy(live, ({ instance }) => instance).values()]
  const without = instances.filter((some) => !isIn(some))
  return [...new Set(without.flat().map(({ state }) => state))].map((state) => {
    const count = without.filter((some) => some.some((one) => one.state === state)).length
    return `${id} is ${state}${count === instances.length ? '' : ` at ${count} of ${instances.length} instances`}`
  })
}

/** @param some as one instance sees it: its addresses */
function isIn(some: readonly LiveServer[]): boolean {
  return some.some(({ state }) => state === 'up' || state === 'slow-start')
}

/** A server as the API lists it. */
interface ListedServer extends Omit<DeployServer, 'live'> {
  readonly live: readonly Figures[]
  readonly elsewhere?: readonly { readonly instance: string; readonly live: readonly Figures[] }[]
}

/** Each instance counts by itself: their addresses are told apart. */
function asSeenByAll({ elsewhere = [], ...server }: ListedServer): DeployServer {
  const own = server.live.map((one) => ({ ...one, instance: '' }))
  const others = elsewhere.flatMap(({ instance, live }) =>
    live.map((one) => ({ ...one, id: `${instance} ${one.id}`, instance })),
  )
  return { ...server, live: [...own, ...others] }
}
