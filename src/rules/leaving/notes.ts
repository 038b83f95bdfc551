/**
 * What a configuration of another engine does not say: gathered while it is written, for its comments and for the operator.
 */
import type { Finding } from '../values/problem.ts'
import { UNPRINTABLE } from '../values/unprintable.ts'

type Path = Finding['path']

/** Gathers notes. */
export class Notes {
  readonly #findings: Finding[] = []
  /** By their route or upstream: tables have thousands. */
  readonly #byThing = new Map<string, Finding[]>()
  readonly #engine: string

  /** @param engine its name as people write it */
  constructor(engine: string) {
    this.#engine = engine
  }

  /** Adds a note at a place of the table; the same one only once. */
  add(path: Path, message: string): void {
    const full = `${this.#engine}: ${message}`
    const here = this.#of(path)
    if (here.some((one) => one.message === full && samePath(one.path, path))) return
    const finding: Finding = { path, message: full, severity: 'warning', at: 'key' }
    here.push(finding)
    this.#findings.push(finding)
  }

  /** The notes at the same route or upstream. */
  #of([kind, one]: Path): Finding[] {
    const key = `${kind}/${one}`
    const known = this.#byThing.get(key)
    if (known !== undefined) return known
    const none: Finding[] = []
    this.#byThing.set(key, none)
    return none
  }

  /** Everything that was noted. */
  get findings(): readonly Finding[] {
    return this.#findings
  }

  /** The comments at a route or an upstream: what was noted at it, or below. */
  at(path: Path): string[] {
    return this.#of(path)
      .filter((one) => path.every((key, at) => one.path[at] === key))
      .map((one) => {
        const place = one.path.slice(path.length).join('.')
        return `Not said${place === '' ? '' : `, ${place}`}: ${one.message.slice(this.#engine.length + 2)}`
      })
  }
}

function samePath(a: Path, b: Path): boolean {
  return a.length === b.length && a.every((key, at) => key === b[at])
}

/** A text as one comment: nothing in it ends the line. */
export function comment(text: string, indent = ''): string {
  return `${indent}# ${text.replace(UNPRINTABLE, '?').replace(/[\t\n]/g, ' ')}\n`
}

/** Gives each thing a name of its own. */
export class Names {
  readonly #taken = new Set<string>()

  /** @returns the name, or one like it where it is taken; case does not tell names apart */
  take(wanted: string): string {
    let name = wanted
    for (let i = 2; this.#taken.has(name.toLowerCase()); i++) name = `${wanted}-${i}`
    this.#taken.add(name.toLowerCase())
    return name
  }
}
