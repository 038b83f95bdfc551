/**
 * Where the secrets of cookies come from: the settings, else the secret of the cluster, else a key that is made once and kept in the state
 * folder.
 */
import { createHmac } from 'node:crypto'
import type { Table } from '../rules/table/table.ts'
import type { Finding } from '../rules/values/problem.ts'
import { CookieKeys, flawOfCookieSecret } from './cookie-keys.ts'
import { keptKey, readKeptKey } from './kept-key.ts'

const FILE = 'cookie-key'

const ALONE =
  'each instance of the cluster has a key of its own for cookies: a visitor of one is unknown to the others (set --cluster-secret or --cookie-secret, the same at all)'

/** The cluster whose instances are to have the same keys. */
export interface ClusterSecrets {
  readonly name: string
  /** May be empty. */
  readonly secrets: readonly string[]
}

/** The keys of one instance: all its processes read the same. */
export class CookieKeySource {
  readonly #folder: string | null
  readonly #cluster: ClusterSecrets | null
  readonly #onAlone: (problem: string) => void
  #isAlone = false
  #keys: CookieKeys | null

  /**
   * @param secrets of the settings; may be empty
   * @param folder for a key of banyan's own, or null if nothing is kept
   * @param cluster that the instance is one of, or null
   * @param onAlone called with a message for the operator when the instance makes cookies that the others of its cluster can't read
   */
  constructor(
    secrets: readonly string[],
    folder: string | null,
    cluster: ClusterSecrets | null = null,
    onAlone: (problem: string) => void = () => {},
  ) {
    this.#folder = folder
    this.#cluster = cluster
    this.#onAlone = onAlone
    this.#keys = secrets.length === 0 ? null : new CookieKeys(secrets)
  }

  /** The keys. Null if there are none, or no table has needed them so far. */
  get keys(): CookieKeys | null {
    return this.#keys
  }

  /** Why the cookies that a table needs are unknown to the other instances of the cluster, for the operator; null where they are not. */
  problemOf(table: Table): string | null {
    return this.#isAlone && needsKey(table) ? ALONE : null
  }

  /**
   * Gets the keys that a table needs: reads the file, or makes it.
   * @returns errors at the places that need a key if there is none
   */
  flawsOf(table: Table): Finding[] {
    if (this.#keys !== null || !needsKey(table)) return []
    const places = placesOf(table)
    try {
      this.#keys = new CookieKeys(this.#made())
      return []
    } catch (error) {
      const message = `needs a key for its cookie: ${(error as Error).message}`
      const hint =
        this.#cluster === null ? 'set --cookie-secret' : 'set --cluster-secret or --cookie-secret, the same at all'
      return places.map((path) => ({ path, message, hint, severity: 'error' }))
    }
  }

  /** Like `flawsOf`. @throws {Error} where there is no key: for processes to which the table was given as valid */
  require(table: Table): void {
    const [flaw] = this.flawsOf(table)
    if (flaw !== undefined) throw new Error(`${flaw.path.join('.')}: ${flaw.message}`)
  }

  /** @throws {Error} */
  #made(): string[] {
    const { name = '', secrets = [] } = this.#cluster ?? {}
    if (secrets.length > 0) return [...secrets.map((secret) => derivedFrom(secret, name)), ...this.#earlier()]
    const kept = this.#kept()
    this.#isAlone = this.#cluster !== null
    if (this.#isAlone) this.#onAlone(ALONE)
    return [kept]
  }

  /** The key from before the instance was one of a cluster: its visitors are still known. */
  #earlier(): string[] {
    try {
      const key = this.#folder === null ? null : readKeptKey(this.#folder, FILE, flawOfCookieSecret)
      return key === null ? [] : [key]
    } catch {
      return []
    }
  }

  #kept(): string {
    if (this.#folder === null) throw new Error('no --cookie-secret is set, and there is no state folder')
    return keptKey(this.#folder, FILE, flawOfCookieSecret)
  }
}

function derivedFrom(secret: string, cluster: string): string {
  return createHmac('sha256', secret).update(`banyan cookies of cluster ${cluster}`).digest('base64url')
}

function needsKey({ addsToAnswers, upstreams, routes }: Table): boolean {
  if (!addsToAnswers) return false
  return (
    routes.some(({ keysVisitors }) => keysVisitors) ||
    [...upstreams.values()].some(({ affinity }) => affinity?.kind === 'cookie')
  )
}

/** The places of a table that need a key. */
function placesOf(table: Table): (string | number)[][] {
  const upstreams = [...table.upstreams.values()].filter(({ affinity }) => affinity?.kind === 'cookie')
  return [
    ...upstreams.map(({ name }) => ['upstreams', name, 'affinity']),
    ...table.routes.flatMap((route, at) => (route.keysVisitors ? [['routes', at, 'sticky']] : [])),
  ]
}
