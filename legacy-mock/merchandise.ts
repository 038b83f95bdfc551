/**
 * The words of the catalog: what is sold, in which sizes and colours, by whom, and the codes that the product knows them by.
 */

/** One subclass with all that stands above it, and what a product of it costs. */
export interface Line {
  readonly subdivisionCode: string
  readonly subdivisionName: string
  readonly classCode: string
  readonly className: string
  readonly subclassCode: string
  readonly subclassName: string
  /** What a sentence calls the thing. */
  readonly noun: string
  readonly sizes: readonly (readonly [size1: string, size2: string])[]
  /** Lowest and highest price of a style, in dollars. */
  readonly dollars: readonly [low: number, high: number]
}

/** A company that delivers. */
export interface Supplier {
  readonly code: string
  readonly name: string
}

// biome-ignore format: one row per scale
const BODY = [['X SMALL', '2'], ['SMALL', '4'], ['SMALL', '6'], ['MEDIUM', '8'], ['LARGE', '12'], ['X LARGE', '16']] as const
// biome-ignore format: one row per scale
const MENS = [['SMALL', '36'], ['MEDIUM', '38'], ['MEDIUM', '40'], ['LARGE', '42'], ['X LARGE', '46'], ['XX LARGE', '50']] as const
const KIDS = [
  ['2T', ''],
  ['3T', ''],
  ['4', 'SLIM'],
  ['5', 'REG'],
  ['6', 'REG'],
  ['7', 'PLUS'],
] as const
const SHOES = [
  ['6', 'M'],
  ['7', 'M'],
  ['7.5', 'M'],
  ['8', 'W'],
  ['9', 'M'],
  ['10', 'N'],
] as const
const JEANS = [
  ['28', '30'],
  ['30', '30'],
  ['32', '32'],
  ['34', '32'],
  ['36', '34'],
  ['38', '34'],
] as const
// biome-ignore format: one row per scale
const ONE = [['ONE SIZE', ''], ['ONE SIZE', 'A'], ['ONE SIZE', 'B'], ['ONE SIZE', 'C'], ['ONE SIZE', 'D'], ['ONE SIZE', 'E']] as const
// biome-ignore format: one row per scale
const BED = [['TWIN', '39X75'], ['TWIN XL', '39X80'], ['FULL', '54X75'], ['QUEEN', '60X80'], ['KING', '76X80'], ['CAL KING', '72X84']] as const

type Scale = Line['sizes']
type ClassWords = readonly [
  name: string,
  noun: string,
  sizes: Scale,
  dollars: Line['dollars'],
  subclasses: readonly string[],
]

// biome-ignore format: a table
const SUBDIVISIONS: readonly (readonly [name: string, classes: readonly ClassWords[]])[] = [
  ["WOMEN'S SWEATERS", [
    ['SWEATERS', 'sweater', BODY, [39, 189], ['FUZZY (2-4MM)', 'FINE GAUGE', 'CABLE KNIT', 'CASHMERE']],
    ['CARDIGANS', 'cardigan', BODY, [45, 159], ['OPEN FRONT', 'BUTTON FRONT', 'LONGLINE']],
  ]],
  ["WOMEN'S DRESSES", [
    ['DAY DRESSES', 'dress', BODY, [59, 229], ['WRAP', 'SHIFT', 'A-LINE']],
    ['EVENING', 'gown', BODY, [129, 599], ['FLOOR LENGTH', 'COCKTAIL']],
  ]],
  ["MEN'S SPORTSWEAR", [
    ['POLOS', 'polo shirt', MENS, [29, 98], ['PIQUE', 'JERSEY']],
    ['DENIM', 'pair of jeans', JEANS, [59, 248], ['STRAIGHT LEG', 'SLIM', 'RELAXED']],
    ['OUTERWEAR', 'jacket', MENS, [98, 495], ['DOWN', 'RAINWEAR', 'WOOL & BLENDS']],
  ]],
  ["MEN'S FURNISHINGS", [
    ['DRESS SHIRTS', 'dress shirt', MENS, [45, 165], ['NON-IRON', 'OXFORD CLOTH']],
    ['NECKWEAR', 'tie', ONE, [35, 125], ['SILK', 'KNIT TIES']],
  ]],
  ['CHILDREN', [
    ['GIRLS 2-6X', 'playsuit', KIDS, [18, 68], ['PLAYWEAR', 'SPECIAL OCCASION']],
    ['BOYS 2-7', 'shirt', KIDS, [15, 58], ['TEES', 'WOVENS']],
  ]],
  ["WOMEN'S SHOES", [
    ['PUMPS', 'pair of pumps', SHOES, [79, 395], ['HIGH HEEL (3"+)', 'MID HEEL', 'FLAT']],
    ['BOOTS', 'pair of boots', SHOES, [119, 495], ['ANKLE', 'KNEE HIGH']],
  ]],
  ["MEN'S SHOES", [
    ['DRESS', 'pair of shoes', SHOES, [99, 425], ['OXFORDS', 'LOAFERS']],
    ['ATHLETIC', 'pair of trainers', SHOES, [65, 180], ['RUNNING', 'COURT']],
  ]],
  ['ACCESSORIES', [
    ['HANDBAGS', 'handbag', ONE, [68, 695], ['TOTES', 'CROSSBODY', 'CLUTCHES']],
    ['SCARVES & WRAPS', 'scarf', ONE, [28, 198], ['SILK', 'WOOL & BLENDS']],
  ]],
  ['HOME', [
    ['BEDDING', 'sheet set', BED, [59, 449], ['SATEEN 400TC', 'PERCALE', 'FLANNEL']],
    ['BLANKETS & THROWS', 'throw', BED, [39, 259], ['FLEECE', 'HAND KNIT']],
  ]],
]

/** Every subclass of the catalog. The place in the list never changes: styles are dealt out over it in turn. */
export const LINES: readonly Line[] = SUBDIVISIONS.flatMap(([subdivisionName, classes], s) =>
  classes.flatMap(([className, noun, sizes, dollars, subclasses], c) =>
    subclasses.map((subclassName, b) => ({
      subdivisionCode: `S${String(s * 7 + 11).padStart(3, '0')}`,
      subdivisionName,
      classCode: `${s * 7 + 11}${String(c * 5 + 2).padStart(2, '0')}`,
      className,
      subclassCode: `${s * 7 + 11}${String(c * 5 + 2).padStart(2, '0')}-${b + 1}`,
      subclassName,
      noun,
      sizes,
      dollars,
    })),
  ),
)

/** Colour names, cut to the ten characters that the product's column holds. */
export const COLORS: readonly string[] = (
  'FUSCHIA SATIN,BLACK,WHITE,IVORY,NAVY,CHARCOAL HEATHER,HEATHER GREY,RED LACQUER,BURGUNDY,FOREST GREEN,OLIVE,TEAL BLUE,' +
  'AQUA MIST,LIGHT BLUE,ROYAL,PURPLE RAIN,LAVENDER,BLUSH PINK,CORAL,TANGERINE,MUSTARD,CAMEL,CHOCOLATE BROWN,TAUPE,SAND,' +
  'DARK INDIGO,STONEWASH,BONE,PEWTER,GOLD METALLIC,SILVER,LEOPARD PRINT'
)
  .split(',')
  .map((name) => name.slice(0, 10).trimEnd())

/** Companies, each with the four digits that the product files them under. */
export const SUPPLIERS: readonly Supplier[] = (
  'iSWEATR,NORTHFIELD KNITS,HALLORAN & SONS,BLUE HARBOR TRADING,MAISON DELACOUR,PACIFIC THREAD CO,OLD MILL TEXTILES,' +
  'VERMEER FOOTWEAR,STERLING LEATHER,ROSEBUD KIDS,CASTLE BAY LINENS,EASTGATE IMPORTS,GRANITE PEAK,FIFTH & PINE,' +
  'LINDQVIST DESIGN,TAMARACK OUTERWEAR,SILVERLAKE DENIM,OAK STREET BASICS,BELLA NOTTE,KENSINGTON TAILORS,SUNRISE GARMENT,' +
  'HARTLEY HOSIERY,RED BARN HOME,ATLAS ATHLETIC'
)
  .split(',')
  .map((name, index) => ({ code: String(1001 + index * 37), name }))

/** How a thing can feel, and what it can be made of; a description is one of each. */
// biome-ignore format: a list
export const ADJECTIVES = ['warm', 'soft', 'classic', 'timeless', 'relaxed', 'tailored', 'lightweight', 'cosy', 'bold', 'everyday'] as const
// biome-ignore format: a list
export const QUALITIES = ['fuzzy', 'cotton', 'merino', 'brushed', 'striped', 'textured', 'two-tone', 'quilted', 'printed', 'plain'] as const

const CITIES =
  'Seattle,Portland,Denver,Austin,Chicago,Boston,Atlanta,Phoenix,San Jose,Orlando,Nashville,Columbus'.split(',')
const MALLS = [
  'Downtown',
  'Northgate',
  'River Mall',
  'Westfield',
  'Old Town',
  'Harbor Point',
  'University',
  'Southcenter',
]

/** Stores are numbered from 1 to this. */
export const STORE_COUNT = 240

/** The name of a store, by its number. */
export function storeName(store: number): string {
  return `${CITIES[store % CITIES.length]} ${MALLS[Math.floor(store / CITIES.length) % MALLS.length]}`
}
