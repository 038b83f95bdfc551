/**
 * Choices by conditions, as nginx has them: maps, each of which has a key of one word, and a row for each claim.
 */

/** What a request must meet: a word that is 1 where it does, with its variable filled in. */
export interface Atom {
  readonly word: string
}

/** What no request meets. */
export const NEVER: Atom = { word: '0' }

/** A row of a map of conditions: what a request must meet to go to a place. */
export interface ChoiceRow {
  readonly needed: readonly Atom[]
  readonly place: string
}

/** Rows that one map has, and the conditions that it asks about. */
export interface ChoicePart {
  readonly rows: ChoiceRow[]
  readonly atoms: Set<Atom>
}

/** The names of so many conditions fit in the one word that is the key of a map. */
export const MAX_ATOMS = 150

/** Rows in parts, each with no more conditions than one map can ask about. */
export function partsOf(rows: readonly ChoiceRow[]): ChoicePart[] {
  const parts: ChoicePart[] = []
  for (const row of rows) {
    const last = parts.at(-1)
    const atoms = new Set([...(last?.atoms ?? []), ...row.needed])
    if (last === undefined || atoms.size > MAX_ATOMS) parts.push({ rows: [row], atoms: new Set(row.needed) })
    else {
      last.rows.push(row)
      for (const atom of row.needed) last.atoms.add(atom)
    }
  }
  return parts
}
