"""Words and sentence patterns of an invented product catalogue, from which the bundled sample is made.

A pattern holds slots in braces; a slot names a list of `WORDS` or, first, of the category's own words.
"""

from typing import Final

CATEGORIES: Final = ("Household", "Books", "Electronics", "Clothing & Accessories")
PROPORTIONS: Final = (0.32, 0.25, 0.22, 0.21)


def _words(text: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in text.replace("\n", " ").split("|"))


WORDS: Final[dict[str, tuple[str, ...]]] = {
    "brand": _words(
        """Arvani|Belmora|Casa Verde|Dhruvika|Everhaus|Falkon|Girnar|Homely|Indus & Co|Jalsa|Kavya|Lumora|Mirabel|
        Nandini|Orbitel|Prakriti|Quantic|Rangoli|Saffron Lane|Tarang|Urvashi|Vistara Living|Windmere|Yamuna|Zenko|
        Amaya|Bluepeak|Chitra|Dawnlight|Ekta|Fernhill|Gulmohar|Hillcrest|Ishaan|Juniper|Koyal|Lotusbay|Mayura|
        Northway|Opaline"""
    ),
    "colour": _words(
        """black|white|red|navy blue|sky blue|olive green|mint green|grey|beige|maroon|mustard|purple|pink|teal|
        silver|golden|brown|cream|charcoal|multicolour|turquoise|peach|rust|ivory"""
    ),
    "material": _words(
        """cotton|stainless steel|leather|plastic|wood|bamboo|silicone|polyester|linen|glass|aluminium|rubber|jute|
        microfibre|copper|canvas|ceramic|nylon|wool|velvet"""
    ),
    "person": _words(
        """mother|father|wife|husband|sister|brother|friend|teacher|colleague|girls|boys|kids|students|parents|men|
        women|grandparents|neighbours|office staff|newly weds"""
    ),
    "occasion": _words(
        """birthday|wedding|anniversary|Diwali|Holi|Raksha Bandhan|house warming|Eid|Christmas|New Year|Onam|
        farewell|graduation|Pongal|baby shower|Navratri"""
    ),
    "place": _words(
        """home|office|school|college|kitchen|bedroom|living room|hostel|car|garden|balcony|gym|travel bag|
        study table|hotel|shop|clinic|classroom|train|beach"""
    ),
    "good": _words(
        """durable|stylish|handy|compact|elegant|reliable|affordable|premium|lightweight|beautiful|trusted|sturdy|
        smart|practical|versatile|modern|classic|attractive|comfortable|high quality|unique|simple|fine|everyday"""
    ),
    "count": _words("1|2|3|4|5|6|8|10|12|15|16|18|20|24|25|30|36|40|50|60|75|80|100|120|150|200|250|300|365|500"),
    "pack": _words(
        """pack of 1|pack of 2|pack of 3|set of 2|set of 4|set of 6|combo of 2|combo of 5|single piece|pair"""
    ),
    "days": _words("7|10|14|15|30"),
}

OWN: Final[tuple[dict[str, tuple[str, ...]], ...]] = (
    {
        "noun": _words(
            """pressure cooker|non stick frying pan|bed sheet|pillow cover|wall clock|door mat|water bottle|
            lunch box|dinner set|kitchen rack|storage basket|curtain|cushion|table lamp|candle stand|
            vegetable chopper|knife set|flower vase|shower curtain|laundry bag|mattress protector|wall sticker|
            photo frame|study table|book shelf|shoe rack|mixer grinder|iron box|ceiling fan|mop bucket|dustbin|
            tea cup set|serving tray|spice box|sofa cover|blanket|bath towel|soap dispenser|garden hose|plant pot|
            tool kit|folding chair|clothes hanger|drying stand|key holder|hand blender|gas lighter|LED bulb|
            night light|chopping board|casserole|pooja thali|wall hanging|carpet|wardrobe organiser|ironing board|
            dining chair|air cooler|extension board|umbrella stand"""
        ),
        "room": _words("kitchen|bedroom|living room|bathroom|dining area|balcony|pooja room|guest room|garden|hall"),
        "work": _words(
            """cooking|cleaning|serving|storing grains|decorating|washing|gardening|baking|organising|ironing"""
        ),
        "need": _words("dust|rust|stains|spills|heat|moisture|scratches|insects|bad smell|clutter"),
    },
    {
        "noun": _words(
            """complete guide|practice workbook|short stories|novel|history|handbook|textbook|question bank|
            biography|poems|cook book|colouring book|encyclopaedia|solved papers|dictionary|atlas|essays|memoir|
            introduction|primer|lecture notes|comic|fairy tales|study material|mock tests|picture book|companion|
            anthology|letters|diary"""
        ),
        "topic": _words(
            """Indian kitchen|modern physics|organic chemistry|English grammar|ancient India|fashion design|
            home gardening|digital electronics|computer networks|machine learning|yoga|personal finance|leadership|
            Sanskrit|the freedom struggle|bank exams|civil services|engineering entrance|medical entrance|
            child care|love and loss|the desert|mountain travel|astrology|weaving and textiles|interior design|
            photography|mobile apps|cricket|vegetarian food|constitutional law|world history|marketing|mathematics|
            statistics|geography|mythology|detectives|space|Mumbai|the monsoon|meditation|handicrafts|embroidery|
            audio engineering|robotics|wildlife|philosophy"""
        ),
        "author": _words(
            """R. Deshmukh|Anita Rao|P. K. Banerjee|Meera Iyer|S. Qureshi|Vikram Sethi|L. Fernandes|Kamala Nair|
            D. Joshi|Arun Pillai|Farah Khan|N. Subramanian|Tara Mehta|J. D'Costa|Rohit Malhotra|G. Lakshmi|
            Ira Chatterjee|B. Singh"""
        ),
        "reader": _words(
            """beginners|students|teachers|young readers|aspirants|parents|professionals|curious minds|researchers"""
        ),
        "form": _words(
            """paperback|hardcover|second edition|revised edition|2019 edition|volume 1|volume 2|box set|class 10|
            class 12"""
        ),
    },
    {
        "noun": _words(
            """bluetooth speaker|wireless headphones|phone charger|power bank|USB cable|memory card|laptop battery|
            wireless mouse|gaming keyboard|webcam|tripod|smart watch|LED television|HDMI cable|router|hard disk|
            pen drive|laptop sleeve|camera bag|phone cover|screen guard|tablet stand|earphones|car charger|
            DSLR lens|projector|printer cartridge|laptop adapter|microphone|sound bar|CCTV camera|graphics card|
            cooling pad|remote control|set top box|extension board|fitness band|voice recorder|amplifier|
            card reader|LCD monitor|ring light|laptop stand|selfie stick|network switch|solar charger|calculator|
            trimmer|radio|LED strip"""
        ),
        "device": _words(
            """laptop|phone|tablet|television|camera|desktop computer|gaming console|speaker|smart watch|projector|
            music player|car stereo"""
        ),
        "port": _words("USB|HDMI|3.5 mm|type C|micro USB|VGA|ethernet|bluetooth 5.0|wifi|NFC|optical|SD card"),
        "unit": _words("mAh|watts|GB|hours|Hz|metres|megapixel|volts|mbps|inches"),
        "sense": _words("bass|sound|picture|signal|charging|response|battery life|zoom|brightness|transfer speed"),
    },
    {
        "noun": _words(
            """kurta|saree|formal shirt|t-shirt|jeans|leggings|lehenga|dupatta|jacket|hoodie|track pants|shorts|
            night suit|nightgown|bra|socks|belt|wallet|hand bag|backpack|sling bag|sunglasses|cap|scarf|shawl|
            gloves|tie|waistcoat|blazer|raincoat|umbrella|sports shoes|sandals|slippers|ear rings|bracelet|
            analog watch|travel bag|laptop bag|salwar suit|palazzo|skirt|tunic|sweater|thermal wear|swimsuit|stole|
            handkerchief|hair band|apron|lunch bag"""
        ),
        "fit": _words(
            """slim fit|regular fit|relaxed fit|free size|straight cut|A-line|full sleeve|half sleeve|round neck|
            V neck"""
        ),
        "size": _words("S|M|L|XL|XXL|28|30|32|34|36|38|40|42|free size"),
        "look": _words("casual|formal|ethnic|party|festive|summer|winter|sports|office|college"),
        "finish": _words(
            """printed|embroidered|striped|checked|solid|block print|hand woven|denim|knitted|pleated|floral"""
        ),
    },
)

TITLES: Final[tuple[tuple[str, ...], ...]] = (
    (
        "{brand} {good} {material} {noun}, {colour}",
        "{brand} {noun} for {room} ({pack})",
        "{brand} {colour} {noun} {pack}",
    ),
    ("{topic}: {noun} by {author}", "The {noun} of {topic} ({form})", "{good} {noun} on {topic} for {reader}"),
    (
        "{brand} {noun} {count} {unit} for {device}",
        "{brand} {good} {noun} with {port} ({colour})",
        "{brand} {noun} {port}",
    ),
    (
        "{brand} women's {finish} {noun} {colour}",
        "{brand} men's {fit} {noun} ({size})",
        "{brand} {look} {noun} {material}",
    ),
)

SENTENCES: Final[tuple[tuple[str, ...], ...]] = (
    (
        "This {noun} makes {work} in the {room} easy.",
        "Made of {material}, it resists {need} and is easy to clean.",
        "Keeps your {room} free of {need}.",
        "Dishwasher safe and fit for {work} every day.",
        "A {colour} {noun} gives the {room} a {good} look.",
        "Wipe with a dry cloth after {work}.",
        "Fits shelves of {count} cm and holds {count} litres.",
        "Goes well with a {noun} and your home decor.",
        "The handle stays cool while {work}.",
        "Ideal for a family of {count}, from {work} to {work}.",
    ),
    (
        "In this {noun} {author} explains {topic} step by step.",
        "About the author: {author} has written on {topic} for {count} years.",
        "With {count} chapters, {count} exercises and answers at the end.",
        "Every chapter on {topic} opens with a story and closes with a summary.",
        "A must read for {reader}, now in {form}.",
        "Readers of {author} will find {topic} seen in a new light.",
        "Covers the latest syllabus with solved questions on {topic}.",
        "The language is simple, so {reader} can follow it without help.",
        "From {topic} to {topic}, the {noun} takes {reader} on a journey.",
        "Illustrated with {count} maps and drawings of {topic}.",
    ),
    (
        "Connects your {device} by {port} without a driver.",
        "Delivers clear {sense} at {count} {unit}.",
        "Works with any {device} that has {port}.",
        "The {noun} charges a {device} in {count} minutes.",
        "Up to {count} hours of playback and {count} {unit} capacity.",
        "Over-voltage protection keeps the {device} safe.",
        "Improved {sense} for your {device} and {device}.",
        "In the box: {noun}, {port} cable, user manual.",
        "Plug and play, supports {port} and {port}.",
        "Noise reduction and better {sense} during calls.",
    ),
    (
        "This {finish} {noun} is a {look} favourite, machine wash cold.",
        "Pair it with {look} wear and a {colour} {noun}.",
        "Soft {material} keeps the skin fresh in summer.",
        "{fit} with a {finish} pattern, size {size}.",
        "The model wears size {size}; see the size chart.",
        "A {look} {noun} for every wardrobe.",
        "Stitched from {material} with a {finish} border.",
        "Look your best at the next {occasion} in this {noun}.",
        "Fabric: {material}, sleeve: {fit}, colour: {colour}.",
        "Do not bleach; iron the {noun} on low heat.",
    ),
)

SHARED: Final = (
    "A {good} gift for {person} on {occasion}.",
    "Perfect for {place} and {place}.",
    "The {colour} colour may differ slightly from the picture.",
    "Replacement within {days} days if the piece is damaged.",
    "Comes in a {good} box, {pack}.",
    "Loved by {person} and {person} alike.",
    "{good} and {good}, it is made to last.",
    "Easy to carry to {place}, weighs {count} grams.",
    "Best price for a {good} product of this quality.",
    "Our team checks each item {count} times before dispatch.",
    "Size: {count} x {count} cm, {colour}.",
    "See all product description.",
    "Order {pack} for your {place} today.",
    "Designed in India for {person} who like {good} things.",
    "Buy it for {occasion} and save {count} percent.",
    "Keep away from direct sunlight and water.",
    "Customer care answers within {count} hours.",
    "A {material} touch for {place}.",
)

AMBIGUOUS: Final = (
    ("{brand} {colour} laptop sleeve bag for {person}", 2, 3),
    ("{brand} extension board with night light for {place}", 0, 2),
    ("{brand} {good} {material} organiser pouch, {colour}", 0, 3),
    ("{brand} recipe book stand in {material}", 0, 1),
    ("{brand} activity kit with booklet for {person}", 0, 1),
    ("{brand} electronics hobby kit with manual, {count} parts", 1, 2),
    ("{brand} {colour} watch with {material} strap", 2, 3),
    ("{brand} sewing and pattern set with guide, {pack}", 1, 3),
    ("{brand} trimmer and comb set for {person}", 0, 2),
    ("{brand} {material} umbrella, {colour}, {pack}", 0, 3),
    ("{brand} {good} diary with {material} cover", 1, 3),
    ("{brand} audio story player with books for {person}", 1, 2),
)
"""Title patterns that fit two categories, and these two."""

HINDI_NOUNS: Final = (
    _words("प्रेशर कुकर|पानी की बोतल|चादर|दीवार घड़ी|मसाला डिब्बा|फूलदान|तकिया कवर|पर्दा|झाड़ू|चाय के कप"),
    _words(
        """उपन्यास|कहानी संग्रह|हिंदी व्याकरण|सामान्य ज्ञान की किताब|कविता संग्रह|भारत का इतिहास|गणित की पुस्तक|
        जीवनी|शब्दकोश"""
    ),
    _words("मोबाइल चार्जर|ब्लूटूथ स्पीकर|पावर बैंक|हेडफ़ोन|लैपटॉप बैटरी|मेमोरी कार्ड|कैमरा|टेलीविज़न|रिमोट|माइक"),
    _words("सूती कुर्ता|रेशमी साड़ी|दुपट्टा|ऊनी स्वेटर|चमड़े की बेल्ट|चप्पल|शॉल|लहंगा|कमीज़|हाथ का बैग"),
)
HINDI_SENTENCES: Final = (
    _words(
        """रसोई के रोज़ के काम के लिए बहुत उपयोगी है।|साफ़ करना आसान है और जंग नहीं लगता।|
        घर की सजावट में चार चाँद लगा देता है।|पूरे परिवार के लिए सही आकार।|बर्तन धोने की मशीन में भी सुरक्षित है।|
        मज़बूत स्टील से बना है।"""
    ),
    _words(
        """लेखक ने सरल भाषा में समझाया है।|विद्यार्थियों और शिक्षकों के लिए उपयोगी पुस्तक।|
        हर अध्याय के अंत में प्रश्न और उत्तर दिए गए हैं।|प्रतियोगी परीक्षाओं की तैयारी के लिए।|
        बच्चों की पसंदीदा कहानियाँ और चित्र।|नया संशोधित संस्करण, साफ़ छपाई।"""
    ),
    _words(
        """एक बार चार्ज करने पर दस घंटे चलता है।|आवाज़ साफ़ और तेज़ है।|हर मोबाइल और लैपटॉप के साथ काम करता है।|
        तार के बिना ब्लूटूथ से जुड़ता है।|बैटरी की एक साल की वारंटी।|तेज़ चार्जिंग और सुरक्षित प्लग।"""
    ),
    _words(
        """कपड़ा मुलायम है और गर्मी में आराम देता है।|शादी और त्योहार पर पहनने के लिए।|
        ठंडे पानी में धोएँ और छाया में सुखाएँ।|सुंदर कढ़ाई और पक्का रंग।|सभी साइज़ में उपलब्ध।|
        रोज़ पहनने के लिए आरामदायक।"""
    ),
)
HINGLISH_SENTENCES: Final = (
    _words(
        """Kitchen ke roz ke kaam ke liye ekdum perfect hai.|Ghar ki safai ab bahut aasan ho gayi.|
        Quality acchi hai, rust bilkul nahi lagta.|Rasoi mein space bachata hai aur dekhne mein sundar hai."""
    ),
    _words(
        """Exam ki taiyari ke liye best book hai.|Kahani itni acchi hai ki ek baar mein padh li.|
        Har chapter ke baad questions diye gaye hain.|Bhasha simple hai, bachche bhi samajh jaate hain."""
    ),
    _words(
        """Battery backup zabardast hai, din bhar chalta hai.|Sound quality mast hai aur bass bhi tagda hai.|
        Phone jaldi charge ho jaata hai.|Laptop ke saath turant connect ho gaya."""
    ),
    _words(
        """Kapda soft hai aur fitting ekdum sahi hai.|Shaadi aur party mein pehenne ke liye best.|
        Dhone ke baad bhi rang nahi nikalta.|Garmi mein pehenne ke liye bahut comfortable hai."""
    ),
)
MARKUP: Final = _words(
    """<b>New</b> arrival|Free delivery &amp; returns|<br/>|[size chart](#sizes)|<p>Limited stock</p>|
    **Best seller**|<ul><li>1 year warranty</li></ul>|&lt;3 by customers"""
)
