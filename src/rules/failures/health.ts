/**
 * The health of a server by its active checks: so many good probes in a row make it healthy, so many failed ones unhealthy.
 */
import type { HealthSettings } from '../table/table.ts'

/** What is known of a server's health. */
export interface Health {
  readonly healthy: boolean
  /** Probes in a row that speak against what it counts as: at the threshold it turns. */
  readonly against: number
  /** When it has turned last, or when it was first known: epoch milliseconds. */
  readonly sinceMs: number
}

/** A server that no probe has asked yet. */
export function unprobed(settings: HealthSettings, nowMs: number): Health {
  return { healthy: settings.start === 'healthy', against: 0, sinceMs: nowMs }
}

/** What one more probe makes of it. */
export function afterProbe(health: Health, good: boolean, settings: HealthSettings, nowMs: number): Health {
  if (good === health.healthy) return health.against === 0 ? health : { ...health, against: 0 }
  const against = health.against + 1
  const threshold = good ? settings.up : settings.down
  return against < threshold ? { ...health, against } : { healthy: good, against: 0, sinceMs: nowMs }
}

/**
 * Milliseconds from the beginning of one probe to that of the next. They differ, so that many proxies that were started
 * together do not probe a server together.
 * @param chance in [0, 1)
 */
export function probeIntervalMs({ everyMs, jitter }: HealthSettings, chance: number): number {
  return everyMs * (1 + jitter * (2 * chance - 1))
}

/** Why an answer to a probe is no good one, in a few words, or null. `body` is its first part, null where none was read. */
export function faultOfAnswer(settings: HealthSettings, status: number, body: string | null): string | null {
  const { status: wanted, body: text } = settings
  const right = wanted === null ? status >= 200 && status <= 299 : wanted.has(status)
  if (!right) return `status ${status}`
  return text === null || body?.includes(text) === true
    ? null
    : `status ${status}, but the body does not contain health.body`
}
