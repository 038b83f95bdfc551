/**
 * What a schema expects at a place: the keys of a map, the range of a number. For hints.
 */
import { z } from 'zod'

type Path = readonly (string | number)[]

/** The bounds of a number. */
export interface Range {
  readonly minimum: number
  readonly maximum: number
}

/** The schemas of the values that may stand at a path: several where the schema has alternatives, none where it has no such place. */
function schemasAt(root: z.core.$ZodType, path: Path): z.core.$ZodType[] {
  return path.reduce<z.core.$ZodType[]>(
    (schemas, key) => schemas.flatMap((schema) => inner(schema, key)).flatMap(alternatives),
    alternatives(root),
  )
}

/** The keys that a map may have at a path, with their schemas; null if its names are free or there is no map. */
export function keysAt(root: z.core.$ZodType, path: Path): Readonly<Record<string, z.core.$ZodType>> | null {
  for (const schema of schemasAt(root, path)) {
    const { def } = (schema as z.core.$ZodTypes)._zod
    if (def.type === 'object') return def.shape
  }
  return null
}

/** The range of the number that is expected at a path, or null. */
export function rangeAt(root: z.core.$ZodType, path: Path): Range | null {
  const number = schemasAt(root, path).find((schema) => schema instanceof z.ZodNumber)
  return number === undefined ? null : { minimum: number.minValue ?? -Infinity, maximum: number.maxValue ?? Infinity }
}

/** Whether a key with this schema may be left out. */
export function isOptional(schema: z.core.$ZodType | undefined): boolean {
  return (schema as z.core.$ZodTypes | undefined)?._zod.def.type === 'optional'
}

function alternatives(schema: z.core.$ZodType): z.core.$ZodType[] {
  const { def } = (schema as z.core.$ZodTypes)._zod
  if (def.type === 'optional') return alternatives(def.innerType)
  return def.type === 'union' ? def.options.flatMap(alternatives) : [schema]
}

function inner(schema: z.core.$ZodType, key: string | number): z.core.$ZodType[] {
  const { def } = (schema as z.core.$ZodTypes)._zod
  if (def.type === 'array') return typeof key === 'number' ? [def.element] : []
  if (def.type === 'record') return [def.valueType]
  if (def.type !== 'object' || !Object.hasOwn(def.shape, key)) return []
  return [def.shape[key] as z.core.$ZodType]
}
