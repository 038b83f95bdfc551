/**
 * Active health checks: each server of an upstream with `health:` is probed once per instance, whatever the number of workers.
 */
import { afterProbe, type Health, probeIntervalMs, unprobed } from '../../rules/failures/health.ts'
import type { HealthSettings, Server, Upstream } from '../../rules/table/table.ts'
import { digestOf, NO_MATERIAL, type TlsMaterial } from '../../state/tls/material.ts'
import { tlsOptions } from '../../state/tls/options.ts'
import { placeOf } from '../../state/upstreams/fleet.ts'
import { authorityOf, dialOf } from '../../state/upstreams/pool.ts'
import type { ControlLog } from '../control-log.ts'
import { type ProbeResult, type ProbeTarget, probe } from './probe.ts'

/** Dependencies of the checks. */
export interface HealthParts {
  readonly log: ControlLog
  /** A server has become healthy or unhealthy. */
  onChange(member: Member): void
  /** Epoch milliseconds. */
  now(): number
  /** In [0, 1). */
  chance(): number
}

/** Results of the probes of a server. */
export interface ServerHealth extends Health {
  /** Successful and failed probes since the server was added. */
  readonly good: number
  readonly failed: number
  /** Result of the last probe; null before the first. */
  readonly last: (ProbeResult & { readonly atMs: number; readonly durationMs: number }) | null
}

/** A server and its upstream. */
export interface Member {
  readonly upstream: Upstream
  readonly server: Server
}

/** A new server is probed within this time, so that its health is known early. */
const FIRST_PROBE_WITHIN_MS = 100

/** All checks of this instance. */
export class HealthChecks {
  readonly #parts: HealthParts
  readonly #checks = new Map<string, Check>()

  constructor(parts: HealthParts) {
    this.#parts = parts
  }

  /**
   * Probes exactly these servers from now on. The state of servers that stay is kept even if their settings have changed; a
   * running probe of a removed server is aborted.
   * @param material content of the table's TLS files
   */
  follow(members: Iterable<Member>, material: TlsMaterial = NO_MATERIAL): void {
    const gone = new Set(this.#checks.keys())
    for (const { upstream, server } of members) {
      const { health } = upstream
      if (health === null) continue
      const key = keyOf(upstream.name, server)
      gone.delete(key)
      const text = settingsText(upstream, server, material)
      const before = this.#checks.get(key)
      if (before?.settingsText === text) continue
      before?.stop()
      const target = (): ProbeTarget => targetOf({ upstream, server }, health, material)
      this.#checks.set(key, new Check({ upstream, server }, { health, target, text }, this.#parts, before?.state))
    }
    for (const key of gone) {
      this.#checks.get(key)?.stop()
      this.#checks.delete(key)
    }
  }

  /** The state of a server; null if its upstream has no health check. */
  of(upstream: string, server: Server): ServerHealth | null {
    return this.#checks.get(keyOf(upstream, server))?.state ?? null
  }

  /** Stops all checks. */
  close(): void {
    this.follow([])
  }
}

/** A server has one check, whatever its id. */
function keyOf(upstream: string, server: Server): string {
  return JSON.stringify([upstream, placeOf(server)])
}

/** The settings of a check as a string: while it is the same, an edit of the table does not affect the check. */
function settingsText({ health, host, tls }: Upstream, server: Server, material: TlsMaterial): string {
  const secure = server.tls ? [tls, digestOf(tls, material)] : null
  return JSON.stringify([{ ...health, status: [...(health?.status ?? [])] }, host, secure, server.alternatives])
}

/** How a server is checked. */
interface CheckTerms {
  readonly health: HealthSettings
  /** The target of its probes. @throws {Error} if the settings are unusable */
  target(): ProbeTarget
  /** Its settings as a string. */
  readonly text: string
}

/** The check of one server. Its probes never overlap. */
class Check {
  readonly settingsText: string
  state: ServerHealth
  readonly #member: Member
  readonly #settings: HealthSettings
  readonly #makeTarget: () => ProbeTarget
  readonly #parts: HealthParts
  readonly #stopped = new AbortController()
  #target: ProbeTarget | null = null
  #timer: NodeJS.Timeout

  constructor(
    member: Member,
    { health, target, text }: CheckTerms,
    parts: HealthParts,
    known: ServerHealth | undefined,
  ) {
    this.settingsText = text
    this.#member = member
    this.#settings = health
    this.#makeTarget = target
    this.#parts = parts
    // Without a probe result yet, the current settings decide.
    this.state =
      known === undefined || known.last === null
        ? { ...unprobed(health, parts.now()), good: 0, failed: 0, last: null }
        : known
    const within = Math.min(FIRST_PROBE_WITHIN_MS, health.everyMs)
    this.#timer = setTimeout(() => void this.#run(), within * parts.chance()).unref()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#stopped.abort()
  }

  async #run(): Promise<void> {
    const begunMs = performance.now()
    const result = await this.#probe()
    if (this.#stopped.signal.aborted) return
    const durationMs = performance.now() - begunMs
    this.#take(result, durationMs)
    const pauseMs = Math.max(0, probeIntervalMs(this.#settings, this.#parts.chance()) - durationMs)
    this.#timer = setTimeout(() => void this.#run(), pauseMs).unref()
  }

  #probe(): Promise<ProbeResult> | ProbeResult {
    try {
      this.#target ??= this.#makeTarget()
    } catch (error) {
      return { good: false, detail: (error as Error).message }
    }
    return probe(this.#target, this.#stopped.signal)
  }

  #take(result: ProbeResult, durationMs: number): void {
    const { good, failed } = this.state
    const { now, log, onChange } = this.#parts
    const atMs = now()
    const wasHealthy = this.state.healthy
    this.state = {
      ...afterProbe(this.state, result.good, this.#settings, atMs),
      good: good + (result.good ? 1 : 0),
      failed: failed + (result.good ? 0 : 1),
      last: { ...result, atMs, durationMs },
    }
    if (this.state.healthy === wasHealthy) return
    const { upstream, server } = this.#member
    const { id, address } = server
    const fields = { event: 'health', upstream: upstream.name, server: id, address, healthy: result.good }
    const named = `${upstream.name}: server ${id}`
    if (result.good) log.info({ ...fields, detail: result.detail }, `${named} is healthy`)
    else log.warn({ ...fields, detail: result.detail }, `${named} is unhealthy: ${result.detail}`)
    onChange(this.#member)
  }
}

function targetOf({ upstream, server }: Member, settings: HealthSettings, material: TlsMaterial): ProbeTarget {
  const { host, tls } = upstream
  return {
    dial: dialOf(server) ?? { host: server.address ?? server.hostname },
    socketPath: server.socketPath,
    port: server.port,
    tls: server.tls ? tlsOptions(tls, server.hostname, material) : null,
    host: typeof host === 'object' ? host.literal : authorityOf(server),
    settings,
  }
}
