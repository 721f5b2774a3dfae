"""Widen the hand-written stories of ``corpus_core.txt`` to the embedded corpus, ``corpus.txt``.

    python bertkit/assets/generate_corpus.py

Needs only the standard library, and the same seed gives the same bytes on every machine.

A document is one plot: a list of stages, each a list of sentence shapes. A shape is written in a small notation:

    [a|b|c]   one of these (may be nested, may be empty)
    <list>    a fresh word or phrase from that list of LISTS, whose entries may use the notation again
    {slot}    what this story has fixed: its people, their pronouns, the pet, the season, the lost thing
    %verb     the verb in the present tense, to agree with the hero: I drink, she drinks

Of a few candidates for each sentence, the one is kept whose four-word runs have been written least so far, so the
corpus does not fall into a rut, and no line is written twice.
"""

import random
import re
import sys
from collections import Counter
from pathlib import Path

SEED = 1810
TARGET_BYTES = 1_000_000
CANDIDATES = 24
HERE = Path(__file__).parent

BOYS = """Adam Albert Alex Anton Arne Ben Bruno Carl Casper Colin Daniel David Dennis Dylan Edgar Eli Emil Eric Ethan
Felix Finn Frank Fred Gabriel George Gilbert Gregor Gus Harry Henry Hugo Ian Isaac Ivan Jack Jacob James Jan Jasper
Jim Joel John Jonas Joseph Julian Karl Kevin Kurt Lars Leo Leon Linus Louis Luke Marco Mark Martin Matthew Max Michael
Miles Milo Nathan Nick Noah Norbert Oliver Omar Oscar Otto Owen Pablo Patrick Paul Peter Philip Quentin Ralph Raul
Rico Robin Roland Rufus Sam Samuel Simon Stefan Steven Theo Thomas Tim Toby Tom Victor Vincent Walter Will Yusuf
""".split()
GIRLS = """Ada Agnes Alice Alma Amy Anna Astrid Beatrice Bella Betty Bianca Carla Carmen Cecily Celia Clara Dana Daisy
Diana Dora Edith Elena Ella Elsa Emily Emma Erica Esther Eva Fay Fiona Flora Frida Gina Gloria Grace Greta Hanna Hazel
Heidi Helen Holly Ida Ines Irene Iris Isabel Ivy Jane Jenny Jill Joan Judith Julia June Kate Kira Laura Leila Lena
Lily Lisa Lola Lotte Lucy Lydia Mabel Maja Marie Martha Mary Maya Mia Mina Molly Nadia Nancy Nell Nina Nora Olga Olive
Paula Pia Polly Rita Rosa Rosie Ruby Ruth Sally Sara Selma Sofia Stella Susan Tara Tessa Tilly Una Vera Wanda Wilma Zoe
""".split()
SURNAMES = """Ash Baker Barrow Bell Berry Birch Bishop Brook Brown Carter Castle Clay Cobb Cole Cook Crane Dale Drake
Fell Field Finch Fisher Ford Frost Glass Grey Hare Hart Hill Holt Hunt Lake Lamb Lark Marsh Mason Miller Moon Moss
North Page Park Piper Pool Potter Reed Rivers Rose Shaw Snow Stone Swan Tanner Thorn Vale Wells West Winter Wood
""".split()


def words(text: str) -> list[str]:
    return [part.strip() for part in text.replace("\n", " ").split(",") if part.strip()]


LISTS: dict[str, list[str]] = {
    "adjchild": words("""little, small, young, good, nice, shy, brave, clever, quiet, kind, merry, funny, careful, curious,
        cheerful, gentle, lively, polite, stubborn, proud, thin, tall, happy, strong, hungry, sleepy, noisy, lucky, patient,
        lonely, naughty, busy, thoughtful, friendly, restless, serious, dreamy, poor, lazy, big"""),
    "age": words("four, five, six, seven, eight, nine, ten, eleven"),
    "num": words("two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, fifteen, twenty"),
    "colour": words("""red, blue, green, yellow, brown, black, white, grey, pink, purple, orange, golden, silver, dark blue,
        light green, pale yellow, bright red"""),
    "hair": words("brown, black, red, fair, curly, long, short, straight, dark, golden, thick, wild"),
    "weekday": words("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday"),
    "daypart": words("morning, afternoon, evening"),
    "toy": words("""kite, ball, doll, drum, boat, top, train, bear, sledge, flute, puppet, hoop, whistle, lantern, hat, cap, scarf,
        ring, key, watch, book, map, knife, basket, bell, bicycle, wagon, umbrella, mitten, purse, coin, bracelet, pencil box,
        music box, toy horse, wooden sword, paint box, picture book, mouth organ, spyglass"""),
    "toyadj": words("""red, blue, green, yellow, new, old, little, wooden, striped, shiny, painted, round, tiny, favourite, brass,
        silver, home-made, second-hand, bright, crooked, beautiful, heavy, tin, velvet, dotted"""),
    "placeadj": words("""old, narrow, dusty, quiet, crooked, muddy, sunny, steep, little, dark, empty, crowded, stony, wide, broken,
        mossy, low, tall, green, grey, windy, lonely, wooden, shady, hidden, long, damp, bright, sleepy, rusty"""),
    "place": words("""garden, meadow, orchard, lane, bridge, mill, market, church, school, well, barn, stable, harbour, station,
        bakery, pond, river, lake, forest, hill, field, park, square, fountain, wall, gate, fence, shed, workshop, library, tower,
        playground, ditch, hedge, beach, cave, castle, inn, quarry, canal, farm, vineyard, courtyard, staircase, pier"""),
    "hiding": words("""bench, bush, haystack, stove, cupboard, bed, carpet, wheelbarrow, rain barrel, log, bucket, woodpile, cart,
        table, sofa, apple tree, rose bush, doormat, pile of leaves, kitchen chair, flower pot, hen house, piano, cradle, ladder,
        washing basket, church bench, heap of sacks, fallen branch, milk can"""),
    "prep": words("behind, beside, under, near, below, next to, close to, in front of, not far from"),
    "where": ["<prep> the <placeadj> <place>", "<prep> the <place>", "on the way to the <place>", "<prep> the <hiding>",
              "<prep> the <hiding> [by|near] the <place>", "between the <place> and the <place>"],
    "tree": words("oak, elm, birch, willow, apple tree, pear tree, cherry tree, chestnut, maple, lime tree, walnut tree, fir, poplar"),
    "bird": words("sparrow, robin, blackbird, crow, magpie, swallow, thrush, starling, wren, pigeon, lark, finch, owl, cuckoo, heron, gull"),
    "birdverb": words("sang, chirped, hopped about, called, whistled, preened its feathers, shook its wings, scolded, sat and watched, looked down, kept still"),
    "family": words("mother, father, grandmother, grandfather, aunt, uncle, sister, brother, cousin"),
    "job": words("""baker, miller, tailor, cobbler, farmer, fisherman, postman, teacher, doctor, nurse, gardener, carpenter, smith,
        shepherd, sailor, cook, painter, clockmaker, butcher, fireman, weaver, hunter, ferryman, pilot, bus driver, librarian"""),
    "pastry": words("""apple pie, plum cake, cherry tart, lemon cake, honey bread, nut roll, ginger cake, pancakes, waffles, buns,
        biscuits, raisin bread, cheese cake, pear tart, carrot cake, cinnamon rolls, pumpkin pie, dumplings"""),
    "food": words("""bread, soup, cheese, porridge, beans, potatoes, sausages, eggs, rice, noodles, ham, fish, peas, carrots, butter,
        toast, honey, jam, mushrooms, cabbage, chestnuts, onions, a pie, fried fish, cold meat, a stew, dumplings, corn"""),
    "fruit": words("apples, pears, plums, cherries, grapes, berries, nuts, peaches, oranges, bananas, figs, melons, apricots, lemons"),
    "drink": words("milk, water, tea, cocoa, lemonade, apple juice, buttermilk, mint tea, cold water, warm milk, plum juice"),
    "simile": words("""as quiet as a mouse, like a leaf in the wind, as fast as a hare, like a sack of flour, as proud as a rooster, as white
        as snow, as red as a beet, like an old gate, as stiff as a board, like a little bear, as light as a feather, like a fish in a net, as
        busy as a bee, like a cat by the stove, as slow as a snail, like a bird on a branch, as still as a stone, like a drum, as cold as a frog,
        like a soldier, as bright as a lamp, like a kettle, as sly as a fox, like a wet dog, as brave as a lion, like a king, as gentle as a lamb,
        like a squirrel, as tall as a ladder, like a candle"""),
    "manner": words("""slowly, quickly, quietly, carefully, gladly, at once, with both hands, without a word, on tiptoe, with a sigh, with a laugh,
        in a hurry, for a long time, as well as {he} could, with red cheeks, with a beating heart, in silence, once more, all alone, with great care,
        step by step, in the end, again and again, with one eye shut, until {he} was tired, in the dark, with cold fingers, bravely, without looking back"""),
    "walked": words("walked, ran, hurried, wandered, strolled, marched, skipped, trotted, limped, rushed, raced, crept, stumbled, went, hopped"),
    "along": words("along, past, across, towards, through, around, to, away from, beyond"),
    "saidwords": words("said, said, said, answered, whispered, called, cried, explained, promised, replied, murmured"),
    "feelsad": [
        "{A} was [sad|very sad|so sad] [and|that {he}] [cried a little|cried and cried|could not eat {his} <food>|would not play any more|wept [softly|bitterly]|hid {his} face in the <soft>]",
        "A [big|hot|single|salty] tear [ran|rolled|fell] [down {his} <bodyside> cheek|onto the <toyadj2> <soft>|into {his} <food>]",
        "{His} heart was as heavy as <heavy>, and {he} [sat down <prep> the <hiding>|went to bed without supper|did not laugh for <num> days|could not say a word]",
        "[Sadly|With tears in {his} eyes|With a lump in {his} throat], {A} [looked at the <soft>|went home along the <placeadj> <place>|sat down on the [step|floor|ground|bench]|turned to the wall]",
        "{He} felt [so lonely|so miserable|so unhappy|so sorry|lost and small] that {he} [bit {his} lip|pulled the <soft> over {his} head|began to sob|hid <where>]",
        "Nothing could cheer {him} up, not the <food>, not the <toyadj> <toy> and not even {his} <family>",
        "{His} lip [trembled|shook|began to tremble], and [then|soon|a moment later] {he} was crying [into the <soft>|<simile>|like a small child]",
    ],
    "feelhappy": [
        "{A} was [happy|very happy|so happy] that {he} [danced around the <hiding>|laughed out loud|hugged {his} <family>|jumped over the <hiding>|sang all the way to the <place>|clapped {his} hands]",
        "{He} [laughed|smiled|beamed|grinned] <simile2>, and {his} <family> [laughed|smiled] too",
        "[Full of joy|Happily|With a big smile|Glad and out of breath], {A} [ran home along the <placeadj> <place>|told {his} <family> all about it|threw {his} cap [into the air|over the <hiding>]|turned a somersault <where>]",
        "{His} heart was as light as <light>, and {he} [whistled|sang|hummed] [until supper|all the way home|a song about <num> <animals>|to the <bird> in the <tree>]",
        "It was the [best|happiest|finest|merriest] <weekday> of the [whole year|summer|month|week], and {A} [knew it|told everyone so|did not want it to end|wrote it in {his} <colour> book]",
        "{He} was so [glad|pleased|proud|thankful] that {he} gave {his} <family> [a kiss|a hug|half of the <fruit>|{his} last <sweet>]",
        "That night {A} fell asleep with a smile, and {he} dreamed of [the <toyadj> <toy>|<num> <colour> <animals>|a <placeadj> <place>]",
    ],
    "bodyside": ["left", "right", "hot", "round", "cold", "pale", "dusty"],
    "soft": words("pillow, blanket, towel, cushion, curtain, shawl, coat, sleeve, apron, rug, handkerchief, straw, grass, snow-white sheet, woollen scarf"),
    "toyadj2": words("soft, grey, blue, old, clean, striped, woollen, warm, checked, faded"),
    "heavy": words("a stone, a wet sack, a lump of lead, an anvil, a full bucket, a church bell, a cart of bricks, a mill wheel, a rainy day, a wet coat"),
    "light": words("a feather, a soap bubble, a leaf, a snowflake, a butterfly, a dandelion seed, a balloon, a summer cloud, a paper boat, a spring morning"),
    "simile2": words("""like the sun, from ear to ear, like a child on a swing, like a cat that has found cream, until {his} belly hurt,
        like a baby, with all {his} teeth, with shining eyes, like the man in the moon, until {he} had to sit down, through {his} tears"""),
    "sweet": words("sweet, biscuit, nut, toffee, cherry, plum, coin, marble, bun, piece of cake, peppermint"),
    "animals": words("ducks, hens, geese, sheep, goats, cows, horses, pigs, rabbits, mice, frogs, cats, dogs, kittens, lambs, snails, bees, crows, hedgehogs, donkeys"),
    "smallthing": words("""a button, a blue feather, a rusty nail, a round stone, a snail shell, an old coin, a bit of string, a chestnut, a bent spoon,
        a marble, a glass bead, a bird's egg, a cork, a cherry stone, a green bottle, a lost glove, a horseshoe, a red leaf, a piece of chalk, a broken cup"""),
    "says": ["{He} <saidwords>", "{A} <saidwords>"],
    "saysB": ["<saidwords> {B}", "<saidwords> {B}", "{he2} <saidwords>"],
    "gift": words("""a jar of honey, a knitted scarf, a bag of nuts, a wooden horse, a tin whistle, a book with pictures, a pair of gloves, a basket of pears,
        a small drum, a blue marble, a box of chalk, a straw hat, a ball of wool, a paper star, a bag of toffees, a silver thimble, a clay bird, a warm loaf,
        a pocket lamp, a red kite, a bunch of daisies, a round cheese, a tiny clock, a pot of plum jam, a rag doll, a seashell"""),
    "flower": words("roses, daisies, tulips, poppies, violets, lilies, sunflowers, bluebells, snowdrops, daffodils, marigolds, pansies"),
    "veg": words("beans, peas, carrots, radishes, pumpkins, onions, tomatoes, cabbages, cucumbers, potatoes, lettuces, beets"),
    "chore": words("""swept the floor, fed the hens, washed the plates, carried the wood, watered the beans, milked the goat, folded the sheets, peeled the potatoes,
        raked the leaves, polished the shoes, fetched the water, dusted the shelf, brushed the horse, shook the rug, picked the peas, stacked the logs, lit the stove,
        cleaned the cage, mended a sock, set the table, made the beds, dried the spoons, gathered the eggs, stirred the soup"""),
    "play": words("""play hide and seek, fly a kite, climb a tree, build a hut, skip rope, roll a hoop, catch frogs, play marbles, sail paper boats, draw with chalk,
        throw stones into the water, dress up as pirates, play ball, ride on the gate, dig a tunnel, make mud pies, look for snails, tell ghost stories, pick berries, feed the ducks,
        chase butterflies, walk on stilts, play school, race beetles"""),
    "playing": words("""playing hide and seek, flying a kite, climbing a tree, building a hut, skipping rope, rolling a hoop, catching frogs, playing marbles, sailing paper boats,
        drawing with chalk, throwing stones into the water, playing ball, riding on the gate, digging a tunnel, making mud pies, looking for snails, picking berries, feeding the ducks,
        chasing butterflies, walking on stilts, watching ants, reading a book, counting clouds, eating <fruit>"""),
    "skill": words("""swim, whistle, ride a bicycle, skate, juggle, knit, row a boat, play the flute, milk a goat, tie a bow, read the clock, dance the polka, walk on {his} hands,
        bake bread, climb the rope, play the drum, catch a ball, sew on a button, write {his} name, ride a horse, blow a bubble, throw a hoop"""),
    "crowd": words("the neighbours, the other children, all the people, the whole class, the old men on the bench, the market women, the guests, {his} cousins, the boys and girls, the musicians"),
    "clock": ["[at|shortly before|shortly after|around] [six|seven|eight|nine|ten|eleven|noon|one|two|three|four|five]"],
    "mornverb": words("woke up, got up, jumped out of bed, opened {his} eyes, pulled back the curtain, looked out of the window, put on {his} <colour> <clothes>"),
    "clothes": words("coat, jacket, shirt, hat, cap, boots, shoes, socks, scarf, gloves, sweater, apron, trousers, stockings, nightgown, slippers"),
    "sky": words("clouds, stars, swallows, crows, snowflakes, leaves, gulls, wild geese, sparks, bats, kites, pigeons"),
}

SEASONS = {
    "spring": {"month": words("March, April, May"),
        "weather": words("mild, fresh, windy, bright, rainy, cool, sunny, misty"),
        "nature": ["the <tree> [beside|behind|near] the <place> [had its first green leaves|was full of buds|began to bloom]",
                   "the <flower> [were coming up|were in bloom|opened] <prep> the <hiding>",
                   "a <bird> was building its nest in the <tree> [by|behind|near] the <place>",
                   "the lambs [jumped|played|slept] on the grass, which was green [again|and soft|and wet]",
                   "the last snow was melting <prep> the <place>"]},
    "summer": {"month": words("June, July, August"),
        "weather": words("hot, warm, sunny, dry, bright, still, dusty, golden"),
        "nature": ["the bees hummed in the <flower> <prep> the <place>",
                   "the sun stood high above the <place>, and the <hiding> threw a [short|small|cool] shadow",
                   "the hay lay [drying|in rows] <prep> the <place>, and it smelled [sweet|of <flower>]",
                   "the grass was [green and] [high|dry|warm|tall], and a <bird> [rested|slept|hid] in the <tree>",
                   "the sky was as blue as [a plum|the sea|a painted cup|{his} <clothes>]"]},
    "autumn": {"month": words("September, October, November"),
        "weather": words("windy, foggy, rainy, grey, cool, stormy, golden, misty"),
        "nature": ["the leaves of the <tree> [were|had turned] [red|yellow|brown|red and yellow] and fell [on|behind|beside] the <place>",
                   "the wind [blew|chased|swept] the [dry|brown|yellow] leaves [along|across|past] the <place>",
                   "the <fruit> were [ripe|picked|in the cellar], and the <bird> had flown south",
                   "fog [hung|lay|crept] over the <place>, and the <hiding> [looked|was] [grey|wet|like a ghost]",
                   "somebody was burning leaves <prep> the <place>"]},
    "winter": {"month": words("December, January, February"),
        "weather": words("cold, icy, snowy, frosty, dark, bitter, white, clear"),
        "nature": ["the snow was white and [deep|soft|clean] [on|behind|beside|around] the <place>",
                   "ice [hung from|covered|shone on] the <hiding>, and a [hungry] <bird> [sat|waited] in the bare <tree>",
                   "the <place> was white with [snow|frost], and [the pond was frozen|everyone's breath smoked|the stove was hot]",
                   "it had [snowed|been snowing] [all night|since <weekday>|for <num> hours], and the <hiding> had disappeared",
                   "the bare <tree> [beside|behind] the <place> [creaked|glittered|wore a white cap]"]},
}

PETS = [("dog", "barked", "bones"), ("cat", "meowed", "fish"), ("kitten", "meowed", "cream"), ("puppy", "yelped", "meat"),
        ("rabbit", "stamped its foot", "carrots"), ("goat", "bleated", "leaves"), ("lamb", "bleated", "clover"),
        ("duckling", "quacked", "worms"), ("hen", "clucked", "corn"), ("goose", "hissed", "grass"), ("pony", "neighed", "oats"),
        ("donkey", "brayed", "thistles"), ("parrot", "screeched", "seeds"), ("calf", "mooed", "hay"), ("pig", "grunted", "potatoes")]
PET_NAMES = """Patch Rusty Snowball Pepper Biscuit Smoky Button Ginger Nutmeg Clover Bramble Pickle Domino Muffin Hazelnut Mop Whisker
Tansy Fidget Bandit Pudding Tuppence Barley Velvet Cricket Thimble Juniper Waffle Dandelion Sooty Honey Captain Socks Dumpling Comet""".split()

# animal, sound, its food, its home, its young
ANIMALS = [("cow", "moo", "grass", "in the barn", "calf"), ("horse", "neigh", "oats", "in the stable", "foal"), ("dog", "woof", "bones", "in the kennel", "puppy"),
    ("cat", "meow", "mice", "by the stove", "kitten"), ("sheep", "baa", "clover", "in the fold", "lamb"), ("duck", "quack", "weeds", "on the pond", "duckling"),
    ("hen", "cluck", "corn", "in the hen house", "chick"), ("pig", "oink", "potatoes", "in the sty", "piglet"), ("goat", "meh", "leaves", "on the hill", "kid"),
    ("frog", "croak", "flies", "in the pond", "tadpole"), ("owl", "hoo", "mice", "in the hollow tree", "owlet"), ("bear", "grr", "honey", "in the cave", "cub"),
    ("crow", "caw", "seeds", "in the elm", "chick"), ("goose", "honk", "grass", "in the yard", "gosling"), ("bee", "buzz", "nectar", "in the hive", "grub"),
    ("lion", "roar", "meat", "in the tall grass", "cub"), ("mouse", "squeak", "cheese", "in the wall", "young one"), ("wolf", "howl", "meat", "in the forest", "cub"),
    ("fox", "yap", "hens", "in the den", "cub"), ("rabbit", "nothing", "carrots", "in the burrow", "bunny"), ("hedgehog", "snuffle", "beetles", "under the hedge", "hoglet"),
    ("squirrel", "chatter", "nuts", "in the oak", "young one"), ("mole", "nothing", "worms", "under the meadow", "pup"), ("otter", "chirp", "fish", "by the river", "pup"),
    ("deer", "bark", "leaves", "in the wood", "fawn"), ("badger", "grunt", "roots", "in the sett", "cub"), ("toad", "croak", "slugs", "under the stone", "tadpole"),
    ("heron", "kraak", "fish", "by the lake", "chick"), ("donkey", "hee-haw", "thistles", "in the shed", "foal"), ("hare", "nothing", "clover", "in the field", "leveret")]
ANIMAL_ADJ = words("old, young, grey, brown, hungry, proud, clever, lazy, shy, vain, fat, thin, sly, tired, little, boastful, patient, greedy, kind, lonely, careless, wise")
COLOURED = [("snow", "white"), ("grass", "green"), ("coal", "black"), ("the sky", "blue"), ("a lemon", "yellow"), ("blood", "red"), ("milk", "white"), ("a raven", "black"),
    ("a strawberry", "red"), ("a carrot", "orange"), ("chocolate", "brown"), ("a leaf in spring", "green"), ("ash", "grey"), ("the sea", "blue"), ("an egg yolk", "yellow"),
    ("a cherry", "red"), ("salt", "white"), ("a frog", "green"), ("a flamingo", "pink"), ("a pumpkin", "orange"), ("a mouse", "grey"), ("the night", "black"), ("a swan", "white"),
    ("gold", "yellow"), ("a poppy", "red"), ("a cucumber", "green"), ("a nut", "brown"), ("flour", "white"), ("a violet", "purple"), ("a ripe plum", "purple")]
OPPOSITES = [("hot", "cold"), ("big", "small"), ("wet", "dry"), ("fast", "slow"), ("old", "young"), ("loud", "quiet"), ("high", "low"), ("full", "empty"), ("hard", "soft"),
    ("heavy", "light"), ("long", "short"), ("early", "late"), ("open", "shut"), ("happy", "sad"), ("rich", "poor"), ("near", "far"), ("thick", "thin"), ("clean", "dirty"),
    ("brave", "afraid"), ("sweet", "sour"), ("strong", "weak"), ("dark", "bright"), ("good", "bad"), ("wide", "narrow"), ("deep", "shallow"), ("awake", "asleep")]
NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty".split()
