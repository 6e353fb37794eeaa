"""Our own words: names and nouns for tasks, and everyday sentences that serve as the neutral reference.

A sentence is a main clause and a clause that goes with any of them, so that a small pool gives thousands of different
ordinary sentences. Nothing here is taken from a corpus.
"""

NAMES = (
    "Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ivo", "Jana", "Kim", "Leo", "Mia", "Nils", "Olga",
    "Paul", "Rosa", "Sam", "Tom", "Una", "Vera", "Will",
)  # fmt: skip

NOUNS = (
    "apple", "boat", "book", "box", "bread", "bridge", "cat", "chair", "clock", "cloud", "coat", "cup", "dog", "door",
    "farm", "field", "fire", "fish", "flower", "garden", "gate", "glass", "gold", "hand", "hat", "hill", "horse",
    "house", "key", "king", "lake", "lamp", "leaf", "letter", "milk", "moon", "mouse", "night", "paper", "queen",
    "rain", "ring", "river", "road", "rock", "room", "rose", "school", "sea", "shoe", "shop", "snow", "star", "stone",
    "sun", "table", "train", "tree", "wall", "watch", "water", "wind", "window", "wood",
)  # fmt: skip

MAINS = (
    "The baker closed the shop early", "My sister painted the garden fence", "The old dog slept under the table",
    "We carried the boxes up the stairs", "The children waited at the gate", "Our neighbour repaired his bicycle",
    "The doctor wrote a short letter", "They planted a row of beans", "The cook tasted the soup again",
    "A man sold apples by the road", "The teacher opened all the windows", "I left my coat in the hall",
    "The farmer counted his sheep", "She put the kettle on the stove", "Two boys played near the river",
    "The postman knocked at the door", "We ate our bread on the wall", "The ferry crossed the bay",
    "His aunt read the morning paper", "The tailor measured a blue sleeve", "A cat walked along the roof",
    "The driver stopped at the corner", "My uncle cleaned the lamp", "The girl folded a paper boat",
    "They moved the piano to the wall", "The guests sat down in the kitchen", "He swept the leaves from the path",
    "The clerk stamped every page", "Her brother looked for his keys", "The carpenter sanded the board",
    "A woman hung the washing outside", "The class drew maps of the village", "We walked once around the lake",
    "The gardener cut the long grass", "I bought a loaf and some cheese", "The nurse made the beds",
    "The fishermen mended their nets", "She tied the parcel with string", "An owl sat on the chimney",
    "The miller filled the last sack", "He wrote his name on the list", "The shepherd whistled to his dog",
    "They stored the jars in the cellar", "The bus turned into our street", "A child dropped a spoon",
    "The painter mixed a pale green", "My father lit the fire", "The guard locked the side door",
    "We heard music from the square", "The librarian moved the ladder", "Her friends sang in the yard",
    "The horse drank from the trough", "He hung the picture a little lower", "The workers ate their lunch outside",
    "A boy threw pebbles into the pond", "The widow watered her roses", "They found a path through the wood",
    "The captain looked at the sky", "I washed the cups and plates", "The mayor shook many hands",
)  # fmt: skip

CLAUSES = (
    "before the rain began", "while the bread was in the oven", "because the day was warm", "after the market closed",
    "when the church bell rang", "as the light was fading", "although it was still early", "until the others came home",
    "since there was nothing else to do", "and then went home", "while the wind shook the trees",
    "because somebody had asked for it", "before anyone else was awake", "when the train had left",
    "after a long and quiet afternoon", "as they did every Sunday", "although nobody was watching",
    "and nobody said a word", "while the radio played in the next room", "because winter was near",
    "before the guests arrived", "when the snow had melted", "after the lamps were lit", "as usual in that season",
    "although the road was muddy", "and stayed there for an hour", "while a neighbour told a story",
    "because the evening was so clear", "before the shops opened", "when the work was done",
    "after breakfast on Monday", "as the sun came through the clouds", "although it had been promised to others",
    "and talked about the weather", "while the clock in the hall struck nine", "because the house was too quiet",
    "before the water was cold", "when the first guests had gone", "after looking twice at the calendar",
    "as slowly as they could", "although the wind was cold", "and smiled at the thought of it",
    "while the boats came in", "because it was nearly noon", "before going up to bed", "when the fog had lifted",
    "after the last of the coffee", "and then looked for a place in the shade",
)  # fmt: skip


def sentence(main: int, clause: int) -> str:
    """One sentence of the pool.

    Examples
    --------
    >>> sentence(0, 0)
    'The baker closed the shop early before the rain began.'
    """
    return f"{MAINS[main]} {CLAUSES[clause]}."
