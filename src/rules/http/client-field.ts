/**
 * The header that tells upstreams who a client is by its certificate. What clients send under that name is not theirs to say.
 */
import { dashedName } from './field-edits.ts'

/** The header, as the operator has named it. */
export interface ClientField {
  readonly name: string
  /** As CGI and its heirs read it: `dashedName`. */
  readonly dashed: string
}

export function clientFieldOf(name: string): ClientField {
  return { name, dashed: dashedName(name) }
}

/** The fields of a request less those under that name, in any spelling, and with the subject of its client, if it has one. */
export function withSubject(
  rawHeaders: readonly string[],
  { name, dashed }: ClientField,
  subject: string | null,
): readonly string[] {
  const fields = withoutClientField(rawHeaders, dashed)
  return subject === null ? fields : [...fields, name, subject]
}

/** The fields less those of that name; the same array where there are none. */
export function withoutClientField(fields: readonly string[], dashed: string): readonly string[] {
  const isIt = (at: number): boolean =>
    (fields[at] as string).length === dashed.length && dashedName(fields[at] as string) === dashed
  for (let i = 0; i < fields.length; i += 2) {
    if (isIt(i)) return fields.filter((_, at) => !isIt(at - (at % 2)))
  }
  return fields
}

/** Connection without that name: it would take away what is said of the client. */
export function connectionWithout(connection: string | null, dashed: string): string | null {
  if (connection === null || !dashedName(connection).includes(dashed)) return connection
  return connection
    .split(',')
    .filter((token) => dashedName(token.trim()) !== dashed)
    .join(',')
}
